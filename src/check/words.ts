/** The words of every finding, in one place. Free of Node. */

export type Level = 'good' | 'info' | 'warning' | 'failing'

type Entry = readonly [level: Level, title: string, advice: string]

const install = 'Install the file with the whole chain (certbot: fullchain.pem): the server’s own certificate first, then its issuer.'
const renew = 'Get a new certificate and have the server load it; automate the renewal.'
const look = 'Look into the server’s log at the time of this check.'

/** Every finding there is. */
export const catalogue = {
  // DNS
  'dns-failed': [
    'failing',
    'A DNS look-up failed',
    'Look at the name servers of the domain, its DNSSEC chain, and for aliases that lead in a circle.',
  ],
  'no-service': [
    'failing',
    'There is no XMPP service to be found',
    'Publish SRV records (_xmpp-client._tcp and _xmpp-server._tcp), or addresses for the domain itself.',
  ],
  'srv-missing': ['info', 'No SRV record; the domain’s own address is used', 'An SRV record says where the service is, and lets it move.'],
  'srv-not-offered': ['info', 'The service is declared as not offered', ''],
  'srv-dot-mixed': ['warning', 'An SRV record says “not offered” beside others', 'Remove the record whose target is "." or the others (RFC 2782).'],
  'srv-alias': [
    'warning',
    'An SRV record points to an alias',
    'Point the SRV record to the name that has the addresses: RFC 2782 forbids aliases there, and some servers do not follow them.',
  ],
  'srv-target-missing': ['failing', 'The target of an SRV record has no address', 'Correct the target, or give it A and AAAA records.'],
  'srv-target-invalid': [
    'failing',
    'The target of an SRV record is not a host name',
    'Set the target to a host name with A or AAAA records; an address cannot stand there.',
  ],
  'port-refused': [
    'warning',
    'A port was not tried',
    'For strangers this check connects to no ports below 1024 but 80 and 443. Run xmpp-ica check yourself.',
  ],
  'srv-many': ['info', 'More targets than are looked at', ''],
  'address-private': ['failing', 'An address is not a public one', 'Nobody outside of your network reaches it: publish public addresses.'],
  'ipv6-missing': ['info', 'Not reachable over IPv6', 'Give the targets AAAA records.'],
  'ipv6-untested': [
    'info',
    'An address could not be tried from here',
    'The machine of this check has no route to it (no IPv6, perhaps). Try from another.',
  ],
  // connection and stream
  'connection-refused': [
    'failing',
    'The connection is refused',
    'Start the server, have it listen on this address and port, or correct the SRV record.',
  ],
  'connection-timeout': ['failing', 'Nobody answers', 'Open the port in the firewall, or correct the SRV record.'],
  'connection-failed': ['failing', 'No connection', 'Look at address, routing and firewall.'],
  'closed-early': ['failing', 'The server closes the connection', look],
  'server-hangs': ['failing', 'The server does not answer', `${look} Is it an XMPP server that listens there?`],
  'not-xmpp': [
    'failing',
    'It is not XMPP that is spoken there',
    'Something else listens on this port, or TLS where a plain stream is expected (or the other way round). Correct the port or the SRV record.',
  ],
  'xml-invalid': ['failing', 'What the server sends is not a valid XML stream', look],
  'xml-forbidden': [
    'failing',
    'The server sends XML that XMPP forbids',
    'Something between or in place of your server does this (RFC 6120 §11.1). Look at what listens there.',
  ],
  'xml-utf8': ['failing', 'The server sends what is not UTF-8', look],
  'stream-endless': ['failing', 'The server sends without end', look],
  'stream-error': [
    'failing',
    'The server ends the stream with an error',
    'Does the server serve this domain? Look into its log at the time of this check.',
  ],
  'see-other-host': [
    'warning',
    'The server sends peers elsewhere',
    'Publish that host by SRV records: few peers follow see-other-host, and not before TLS.',
  ],
  'peer-refused': [
    'info',
    'The server wants to know its peers before it shows its features',
    'That is a choice: only servers with a trusted certificate get in.',
  ],
  'starttls-missing': ['failing', 'STARTTLS is not offered', 'Give the server a certificate that it can read, and turn TLS on.'],
  'starttls-refused': [
    'failing',
    'STARTTLS is offered, but refused',
    'Usually the certificate or its key cannot be read. Look into the server’s log.',
  ],
  'starttls-optional': [
    'warning',
    'TLS is not required',
    'Require it: c2s_require_encryption and s2s_require_encryption (Prosody), starttls_required and s2s_use_starttls: required (ejabberd).',
  ],
  'sasl-in-clear': ['failing', 'Login is offered without TLS', 'Require TLS before authentication: passwords go over the network in clear.'],
  'external-offered': ['good', 'The server takes certificates as a proof of identity (SASL EXTERNAL)', ''],
  'external-missing': [
    'info',
    'SASL EXTERNAL was not offered to this check',
    'It is offered to peers with a certificate that the server trusts; this check had none, or none that it trusts. The page has none; xmpp-ica check --as DOMAIN --cert CHAIN --key KEY looks as a peer that has one.',
  ],
  // TLS
  'tls-failed': ['failing', 'The TLS handshake fails', look],
  'tls-old-only': ['failing', 'Only TLS 1.0 or 1.1 is offered', 'Both are forbidden (RFC 8996). Update the TLS library or its configuration.'],
  'tls-old-offered': ['warning', 'TLS 1.0 or 1.1 is offered still', 'Turn both off (RFC 8996).'],
  'tls-1.3-missing': ['info', 'TLS 1.3 is not offered', 'Offer it beside TLS 1.2.'],
  'cipher-weak': [
    'warning',
    'A weak cipher was negotiated',
    'Prefer suites with forward secrecy and authenticated encryption (ECDHE with AES-GCM or ChaCha20).',
  ],
  'alpn-missing': [
    'warning',
    'Direct TLS without ALPN',
    'XEP-0368 asks for the protocol names xmpp-client and xmpp-server; behind a multiplexer connections may go astray.',
  ],
  // the certificate
  'certificate-unreadable': ['failing', 'A certificate cannot be read', 'Have it made anew.'],
  'certificate-missing': ['failing', 'The server presents no certificate', install],
  expired: ['failing', 'The certificate has expired', renew],
  'not-yet-valid': ['failing', 'The certificate is not valid yet', 'Are the clocks right? Otherwise wait, or get another.'],
  'expires-soon': ['warning', 'The certificate expires soon', renew],
  'validity-long': [
    'warning',
    'The certificate is valid for very long',
    'A certificate of at most 200 days, renewed automatically, loses less when its key is stolen.',
  ],
  'names-refused': ['failing', 'No known software accepts the certificate for this domain', 'Get a certificate with the dNSName of the domain.'],
  'names-partly': [
    'warning',
    'Some software refuses the certificate for this domain',
    'A certificate with dNSName and SRVName, without XmppAddr, for serverAuth and clientAuth is accepted everywhere.',
  ],
  'names-accepted': ['good', 'All known software accepts the certificate for this domain', ''],
  'only-cn': [
    'warning',
    'The domain stands in the common name only',
    'Get a certificate with a dNSName: the common name has had its day (RFC 9525).',
  ],
  'only-srvname': ['warning', 'The domain stands in SRVNames only', 'ejabberd, Dino and Gajim read dNSName only. Get a certificate with a dNSName.'],
  'xmppaddr-present': [
    'warning',
    'The certificate has the XmppAddr of a domain',
    'It makes the server-to-server check of ejabberd crash: use a profile without XmppAddr.',
  ],
  'wildcard-depth': ['warning', 'A wildcard would have to stand for more than one label', 'Add the domain itself as a dNSName.'],
  'no-server-auth': [
    'failing',
    'The certificate is not for servers (serverAuth)',
    'Get one with serverAuth, and clientAuth for server-to-server connections.',
  ],
  'no-client-auth': [
    'warning',
    'The certificate is not for clients (clientAuth)',
    'As a server dials others it presents this certificate, and ejabberd before 25.08 refuses it. Public CAs have dropped clientAuth; use a certificate of this CA for s2s.',
  ],
  'key-weak': ['failing', 'The key is weak', 'Make a new one: ECDSA P-256, or RSA with at least 2048 bits.'],
  'key-mismatch': ['failing', 'The private key does not belong to the certificate', 'Install the key that the certificate was requested with.'],
  'signature-weak': ['failing', 'A signature is weak', 'SHA-1 and older are broken. Get a certificate signed with SHA-256 or better.'],
  'leaf-is-ca': ['warning', 'The server’s certificate is that of a CA', 'Use an end-entity certificate.'],
  // the chain
  'self-signed': ['failing', 'The certificate is self-signed', 'Get one from a CA; strangers have no way to tell this one from anybody else’s.'],
  'root-unknown': [
    'failing',
    'The chain leads to a root that nobody here knows',
    'Is it the right chain? Otherwise each peer has to trust that root by hand.',
  ],
  'chain-incomplete': ['failing', 'An intermediate certificate is missing', install],
  'chain-order': ['warning', 'The chain is out of order', install],
  'chain-root': ['info', 'The root is sent along', 'Leave it out: who trusts it has it, and nobody else needs it.'],
  'chain-extra': ['warning', 'The chain has certificates that do not belong to it', install],
  'chain-long': ['warning', 'The chain is very long', install],
  'ca-expired': ['failing', 'A certificate of the chain has expired', install],
  'trust-own': ['good', 'The chain leads to the root of this CA', ''],
  'trust-public': ['good', 'The chain leads to a root that systems trust', ''],
  // status
  revoked: ['failing', 'The certificate is revoked', 'Get a new one, with a new key if the old one was lost.'],
  'ocsp-good': ['good', 'OCSP says that the certificate is good', ''],
  'ocsp-unknown': ['warning', 'The OCSP responder does not know the certificate', 'Ask the CA.'],
  'ocsp-failed': ['warning', 'There is no valid OCSP answer', 'The CA’s responder is at fault, or it is not reached.'],
  'crl-good': ['good', 'The certificate is not on its CRL', ''],
  'crl-failed': ['warning', 'There is no valid CRL', 'The CA’s CRL is at fault, or it is not reached.'],
  'status-many': ['info', 'More certificates than are asked about', ''],
  'status-none': ['info', 'The certificate points to no status', ''],
  'staple-good': ['good', 'A good OCSP answer is stapled', ''],
  'staple-revoked': ['failing', 'The stapled OCSP answer says “revoked”', 'Get a new certificate.'],
  'staple-invalid': ['failing', 'The stapled OCSP answer is not valid', 'Have the server fetch a new one; verifiers may refuse the connection.'],
  'staple-missing': [
    'failing',
    'The certificate demands stapling, and nothing is stapled',
    'Configure stapling, or get a certificate without the TLS feature (must-staple).',
  ],
  // publications
  'tlsa-matches': ['good', 'The TLSA record matches the certificate (DANE)', ''],
  'tlsa-mismatch': [
    'failing',
    'No TLSA record matches the certificate (DANE)',
    'Publish the TLSA record of the new key before the server gets it, and remove that of the old one.',
  ],
  'tlsa-insecure': [
    'info',
    'DNSSEC of the TLSA record is not confirmed',
    'The resolver did not set the AD flag, so this check cannot tell whether peers will use the record.',
  ],
  'posh-matches': ['good', 'The POSH document matches the certificate', ''],
  'posh-mismatch': ['warning', 'The POSH document does not match the certificate', 'Publish a new document when the certificate changes.'],
  'posh-invalid': ['warning', 'The POSH document is not valid', 'See RFC 7711 §3.'],
  'caa-allows': ['info', 'CAA records let this CA issue', ''],
  'caa-forbids': ['info', 'CAA records do not let this CA issue', 'Add this CA where you want certificates from it.'],
} as const satisfies Record<string, Entry>

export type FindingId = keyof typeof catalogue

/** The sum of all findings, in a sentence. */
export const verdictWords = {
  good: (domain: string) => `${domain} is in order.`,
  warnings: (domain: string) => `${domain} works, but there is something to improve.`,
  failing: (domain: string) => `${domain} has problems that other servers or clients will notice.`,
} as const
