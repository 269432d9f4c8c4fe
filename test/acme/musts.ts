/**
 * What the documents of ACME demand of a server (MUST, MUST NOT, REQUIRED), and the test that holds it. musts.test.ts checks that each test exists and is named after
 * its section. Demands on clients are left out, and those on parts that this CA does not have.
 */
export type Must = [section: string, demand: string, test: string]

export const musts: Record<string, Must[]> = {
  'RFC 8555': [
    ['6.1', 'refuse base64url with trailing "="', 'RFC 8555 §6.1: binary fields are base64url without padding'],
    ['6.2', 'verify the JWS before anything is done', 'RFC 8555 §6.2: the signature must be that of the account'],
    [
      '6.2',
      'only the flattened serialization, no unprotected header, no unencoded or detached payload',
      'RFC 8555 §6.2: requests that are malformed: kid and jwk, serializations, unprotected headers, what is no JSON',
    ],
    [
      '6.2',
      'refuse requests with both "jwk" and "kid"',
      'RFC 8555 §6.2: requests that are malformed: kid and jwk, serializations, unprotected headers, what is no JSON',
    ],
    [
      '6.2',
      'refuse "none" and MACs; badSignatureAlgorithm with 400 and the "algorithms" that are',
      'RFC 8555 §6.2: alg none, MACs and others are badSignatureAlgorithm, with the algorithms that are',
    ],
    ['6.2', 'take ES256', 'RFC 8555 §6.2: every supported algorithm'],
    [
      '6.2',
      '"jwk" for newAccount and for revokeCert by the key of the certificate, "kid" for everything else',
      'RFC 8555 §6.2, §7.3: newAccount is signed by the key itself, and nothing else but revokeCert',
    ],
    ['6.2', '"kid" is the URL of the account', 'RFC 8555 §6.2: kid must be an account URL of this CA'],
    ['6.2', 'badPublicKey with 400 for a key that is not accepted', 'RFC 8555 §6.2, §6.7: keys that no account may have are badPublicKey'],
    ['6.2', '415 for another Content-Type than application/jose+json', 'RFC 8555 §6.2: only application/jose+json is taken'],
    [
      '6.3',
      'GET for directory and newNonce, and POST-as-GET for them too',
      'RFC 8555 §6.3: GET is for directory and newNonce; everything else is read by POST-as-GET',
    ],
    ['6.3', '405 and malformed for any other GET', 'RFC 8555 §6.3: GET is for directory and newNonce; everything else is read by POST-as-GET'],
    ['6.3', 'the payload of POST-as-GET is empty', 'RFC 8555 §6.3: a payload that is not empty is no POST-as-GET'],
    [
      '6.4',
      'refuse as unauthorized a "url" that is not the one asked',
      'RFC 8555 §6.4: the signed url must be the one that was asked, letter by letter',
    ],
    ['6.5', 'Replay-Nonce in every successful answer to a POST', 'RFC 8555 §6.5: every answer to a POST has a nonce of its own'],
    ['6.5', 'a nonce that appeared in a request is invalid from then on', 'RFC 8555 §6.5: a nonce serves once'],
    ['6.5', 'the same, of requests at the same time', 'RFC 8555 §6.5: of a request that is sent many times at once, one is served'],
    [
      '6.5',
      'badNonce with 400 and a fresh nonce',
      'RFC 8555 §6.5, §6.5.2: missing, foreign and expired nonces are badNonce; what is not base64url is malformed',
    ],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the title as it stands in the source.
    ['6.5.1', 'nonces are unique, unpredictable, and base64url', 'RFC 8555 §6.5.1: nonces are base64url and differ (${engine})'],
    [
      '6.5.2',
      'malformed where the nonce is not base64url',
      'RFC 8555 §6.5, §6.5.2: missing, foreign and expired nonces are badNonce; what is not base64url is malformed',
    ],
    [
      '6.6',
      'rateLimited where a limit is exceeded',
      'RFC 8555 §6.6: new accounts per address; one that exists is found all the same, and time brings room',
    ],
    ['6.7', 'no unregistered types in the ACME namespace', 'RFC 8555 §6.7: the types of the ACME namespace are the registered ones'],
    [
      '6.7.1',
      '"identifier" in subproblems only, never at the top',
      'RFC 8555 §7.4, §6.7.1: identifiers that are refused, each named in a subproblem and none at the top',
    ],
    ['7.1.1', 'the fields of the directory', 'RFC 8555 §7.1.1: the directory'],
    [
      '7.1.3',
      'the arrays of an order never change',
      'RFC 8555 §7.1.3: the identifiers and authorizations of an order never change; expires stands in what is pending or valid',
    ],
    [
      '7.1.3',
      '"expires" in orders that are pending or valid',
      'RFC 8555 §7.1.3: the identifiers and authorizations of an order never change; expires stands in what is pending or valid',
    ],
    [
      '7.1.3',
      'the authorization of a wildcard has the name without the asterisk',
      'RFC 8555 §7.1.3, §7.1.4: a pending authorization offers its challenges; the name is without the asterisk, wildcard stands only where it is true',
    ],
    [
      '7.1.4',
      '"wildcard" is true for wildcards and absent otherwise',
      'RFC 8555 §7.1.3, §7.1.4: a pending authorization offers its challenges; the name is without the asterisk, wildcard stands only where it is true',
    ],
    [
      '7.1.6',
      'authorization and order follow the challenge that fails',
      'RFC 8555 §7.1.6, §8: a challenge that fails makes authorization and order invalid and says why',
    ],
    ['7.2', 'a fresh nonce from newNonce, 204 for GET, no-store', 'RFC 8555 §7.2: a new nonce by HEAD with 200, by GET with 204, never cached'],
    ['7.3', 'ignore "orders" and unknown fields of newAccount', 'RFC 8555 §7.3: a new account is 201 with its URL, and reflects what was understood'],
    ['7.3', 'refuse newAccount without agreement to the terms', 'RFC 8555 §7.3, §7.3.3: terms must be agreed to, and the error links to them'],
    ['7.3', 'unsupportedContact and invalidContact', 'RFC 8555 §7.3: contacts that are not supported or not valid'],
    [
      '7.3.1',
      '200 and the URL for a key that has an account',
      'RFC 8555 §7.3.1: the account of a key is found, by the same request or by onlyReturnExisting',
    ],
    [
      '7.3.1',
      'onlyReturnExisting makes no account: accountDoesNotExist with 400',
      'RFC 8555 §7.3.1: the account of a key is found, by the same request or by onlyReturnExisting',
    ],
    [
      '7.3.2',
      'ignore updates of "orders", "termsOfServiceAgreed" and unknown fields; 200 with the account',
      'RFC 8555 §7.3.2: contact can be changed, other fields can’t',
    ],
    [
      '7.3.3',
      'userActionRequired with "terms-of-service" and "instance"',
      'RFC 8555 §7.3, §7.3.3: terms must be agreed to, and the error links to them',
    ],
    [
      '7.3.4',
      'externalAccountRequired where a binding is required and missing',
      'RFC 8555 §7.3.4: the directory says so, and an account without a binding is refused',
    ],
    ['7.3.4', 'the binding has a MAC', 'RFC 8555 §7.3.4: the algorithm must be a MAC'],
    [
      '7.3.4',
      'the binding has no nonce, the same url, and the key of the account as payload',
      'RFC 8555 §7.3.4: malformed: the fields that the RFC asks for',
    ],
    ['7.3.4', 'the MAC verifies by a key that is known', 'RFC 8555 §7.3.4: unauthorized: a wrong MAC and an unknown key are told alike'],
    ['7.3.4', 'the account shows the binding of the request', 'RFC 8555 §7.3.4: every MAC algorithm; the account shows the binding as it was sent'],
    ['7.3.5', 'each check of keyChange', 'RFC 8555 §7.3.5: each check of the inner JWS'],
    ['7.3.5', 'no account has the new key', 'RFC 8555 §7.3.5: a key that another account has is 409 with that account’s URL'],
    ['7.3.5', 'the new key replaces the old one', 'RFC 8555 §7.3.5: key roll-over, to each kind of key'],
    ['7.3.6', 'only the key of the account deactivates it', 'RFC 8555 §7.3.2, §7.3.6: an account is nobody else’s to read, change or deactivate'],
    ['7.3.6', '401 and unauthorized for a deactivated account', 'RFC 8555 §7.3.6: a deactivated account can do nothing more'],
    [
      '7.4',
      'an error where an order can’t be fulfilled as specified',
      'RFC 8555 §7.4, §6.7.1: identifiers that are refused, each named in a subproblem and none at the top',
    ],
    ['7.4', 'no certificate with other contents than ordered', 'RFC 8555 §7.4: notBefore and notAfter of the order are those of the certificate'],
    ['7.4', 'the CSR names exactly what was ordered', 'RFC 8555 §7.4: a CSR that does not go with the order is badCSR, and the order stays ready'],
    ['7.4', 'orderNotReady with 403', 'RFC 8555 §7.4: an order that is not ready can’t be finalized'],
    [
      '7.4.1',
      'newAuthz is in the directory where it is served, and gives a pending authorization',
      'RFC 8555 §7.4.1: newAuthz gives a pending authorization with its URL',
    ],
    ['7.4.1', 'no wildcards in newAuthz', 'RFC 8555 §7.4.1: wildcards can’t be authorized beforehand; identifiers are judged as in an order'],
    [
      '7.4.2',
      'the chain, leaf first, as application/pem-certificate-chain',
      'RFC 8555 §7.4.2: the certificate comes as application/pem-certificate-chain, leaf first, without root',
    ],
    [
      '7.5.1',
      'ignore fields of a response that the challenge does not have',
      'RFC 8555 §7.5.1: a challenge is answered, validated in the background, and points up to its authorization',
    ],
    [
      '7.5.1',
      'an HTTP error for a response that can’t be validated',
      'RFC 8555 §7.1.6, §7.5.1: what its client leaves lying expires, and can’t be answered any more',
    ],
    [
      '7.5.2',
      'only the key of its account deactivates an authorization',
      'RFC 8555 §7.1, §7.5.2: what belongs to one account does not exist for another',
    ],
    ['7.5.2', 'nothing is issued on a deactivated authorization', 'RFC 8555 §7.5.2: an authorization can be deactivated, and then serves nothing'],
    ['7.6', 'the account that ordered may revoke', 'RFC 8555 §7.6: revoked by the account that ordered: 200 with nothing in it'],
    [
      '7.6',
      'an account with authorizations for all names may revoke, no other',
      'RFC 8555 §7.6: revoked by another account that holds authorizations for all of its names, and by no other',
    ],
    ['7.6', 'the key of the certificate may revoke', 'RFC 8555 §7.6: revoked by the certificate’s own key, which then is blocked'],
    [
      '7.6',
      'badRevocationReason for a reason that is not allowed',
      'RFC 8555 §7.6: reasons that a subscriber can’t give, and what is not a certificate of this CA',
    ],
    [
      '8',
      '"validated" in valid challenges; one with an error is processing or invalid (erratum 5732)',
      'RFC 8555 §8: a valid challenge says when it was validated; one with an error is processing or invalid',
    ],
    [
      '8.1',
      'token, dot, thumbprint of the key of the account',
      'RFC 8555 §8.1: the key authorization is the token, a dot, and the thumbprint (RFC 7638, SHA-256) of the key of the account',
    ],
    ['8.1', 'and nothing else', 'RFC 8555 §8.1: neither another account, another token, another digest nor the token alone is the key authorization'],
    ['8.2', 'each failed attempt adds an entry to "error"', 'RFC 8555 §8.2: each failed attempt adds an entry to the error'],
    [
      '8.3',
      'tokens of 128 bits, base64url without padding',
      'RFC 8555 §8.3, §8.4: tokens have 128 bits of entropy, in the alphabet of base64url without padding',
    ],
    [
      '8.3',
      'a GET of the well-known path',
      'RFC 8555 §8.3: http-01 is a GET of the well-known path at the name; whitespace at the end of the page is ignored',
    ],
    [
      '8.4',
      'tokens of 128 bits, base64url without padding',
      'RFC 8555 §8.3, §8.4: tokens have 128 bits of entropy, in the alphabet of base64url without padding',
    ],
    [
      '8.4',
      'one of the TXT records is the digest',
      'RFC 8555 §8.4: dns-01 is the digest of the key authorization, in one of the TXT records below _acme-challenge',
    ],
    [
      '8.4',
      'nothing else counts',
      'RFC 8555 §8.4: neither the key authorization itself, its digest in another form, nor a record at the name proves it',
    ],
  ],
  'RFC 8737': [
    [
      '3',
      'tokens of 128 bits, base64url without padding',
      'RFC 8737 §3: token has 128 bits of entropy, in the alphabet of base64url without padding',
    ],
    [
      '3',
      'ALPN with "acme-tls/1" alone, SNI with the name alone',
      'RFC 8737 §3: the handshake offers "acme-tls/1" alone, and the SNI has the name alone',
    ],
    ['3', 'the SAN has the name and no other entry', 'RFC 8737 §3: the SAN must have the name as its one entry'],
    ['3', 'a critical acmeIdentifier with the digest', 'RFC 8737 §3: acmeIdentifier must be there, be critical, and have the digest'],
    ['3', 'names are compared without regard to case', 'RFC 8737 §3: names are compared without regard to case'],
    ['4', 'TLS 1.2 or higher', 'RFC 8737 §4: nothing below TLS 1.2 is offered'],
    [
      '4',
      'no data after the handshake, and the connection is closed',
      'RFC 8737 §4: after the handshake no data is sent, and the connection is closed',
    ],
  ],
  'RFC 9773': [
    ['3', 'renewalInfo in the directory', 'RFC 9773 §3: the directory has renewalInfo'],
    [
      '4.1',
      'key identifier and serial, with its sign octet, without padding',
      'RFC 9773 §4.1: the identifier is made of the key identifier and the serial, with its sign octet',
    ],
    ['4.1', 'padding is no part of it', 'RFC 9773 §4.1: what is not such an identifier, letter by letter, is malformed or not found'],
    ['4.2', 'never a window that ends before it starts', 'RFC 9773 §4.2: a window in the past for a certificate that is revoked'],
    ['4.3', 'Retry-After', 'RFC 9773 §4.3: every answer says when to ask again, sooner where a certificate has to be replaced now'],
    ['5', 'an order reflects "replaces"; alreadyReplaced with 409', 'RFC 9773 §5: "replaces" is kept and shown, and a certificate is replaced once'],
    ['6', 'read by GET without an account', 'RFC 9773 §4.2, §4.3, §6: a window around two thirds of the life, without an account, with Retry-After'],
  ],
  'RFC 8659': [
    [
      '3',
      'CAA is looked at before issuance, at the name and at its parents',
      'RFC 8659 §3: without any CAA record the CA may issue; the parents are asked up to the top',
    ],
    ['3', 'the records nearest to the name decide', 'RFC 8659 §3: the records nearest to the name decide, through an alias too'],
    ['4.1', 'nothing is issued past a critical property that is not understood', 'RFC 8659 §4.1: a critical property that is not understood forbids'],
    ['4.1', 'tags are compared without regard to case', 'RFC 8659 §4.1: tags are compared without regard to case'],
    [
      '4.2',
      'nothing is issued where no "issue" names this CA',
      'RFC 8659 §4.2: one record of several that names this CA is enough; none of them, and it must not issue',
    ],
    ['4.2', 'a value without an issuer lets nobody issue', 'RFC 8659 §4.2: a value that is empty, or blank, lets nobody issue'],
    ['4.2', 'what is not of the grammar counts as empty', 'RFC 8659 §4.2: what is not of the grammar counts as empty, and forbids'],
    ['4.3', '"issuewild" is ignored for other names, and alone decides on wildcards', 'RFC 8659 §4.3: issuewild decides on wildcards alone'],
  ],
  'RFC 8657': [
    [
      '3',
      'only the account that accounturi names; none where it stands twice',
      'RFC 8657 §3: accounturi binds to one account; named twice it binds to none',
    ],
    ['4', 'only by the methods that validationmethods names', 'RFC 8657 §4: validationmethods is compared with what proved the name'],
  ],
  'draft-ietf-acme-profiles': [
    ['3', 'the directory has each profile and what it is', 'draft-ietf-acme-profiles §3: the directory has each profile with a sentence for people'],
    [
      '4',
      'an order reflects its profile; invalidProfile for one that there is not',
      'draft-ietf-acme-profiles §4: an order names its profile; one that there is not is invalidProfile',
    ],
    [
      '4',
      'invalidProfile at finalize for a profile that the CA has given up',
      'draft-ietf-acme-profiles §4: an order of a profile that the CA has given up can’t be finalized (invalidProfile), and stays as it is',
    ],
    [
      '4',
      'the certificate is of the profile',
      'draft-ietf-acme-profiles §4: xmpp-server-short is for at most seven days, and nowhere to look up its status',
    ],
  ],
}
