/** What the XMPP software out there makes of a certificate, by the judge that the CA has too. */
import { oids } from '../../../src/pki/oids.js'
import { judge, type LeafFacts } from '../../../src/pki/verifiers.js'
import type { CertificateFacts } from '../keys/read.js'
import { requestText as text } from '../text/en-request.js'
import { Mark } from '../ui/notice.js'

const leafFacts = (leaf: CertificateFacts): LeafFacts => {
  const of = (form: string) => leaf.names.filter((name) => name.form === form).map(({ value }) => value)
  const may = (purpose: string) => leaf.extendedKeyUsage?.includes(purpose) ?? true
  return {
    dnsNames: of('dNSName'),
    srvNames: of('SRVName'),
    xmppAddrs: of('XmppAddr'),
    commonName: leaf.commonName,
    serverAuth: may(oids.serverAuth),
    clientAuth: may(oids.clientAuth),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    keyKind: leaf.key.kind,
  }
}

export const Judgements = ({ leaf, domain }: { leaf: CertificateFacts; domain: string }) => <JudgementList leaf={leafFacts(leaf)} domain={domain} />

/** The judgements of a certificate that is there, or is to be. */
export const JudgementList = ({ leaf, domain }: { leaf: LeafFacts; domain: string }) => (
  <ul class="findings">
    {judge(leaf, domain, Date.now()).map(({ verifier, label, role, accepted, why }) => (
      <li key={verifier + role}>
        <Mark kind={accepted ? 'good' : 'bad'} />
        <div>
          <strong>{label}</strong> <small>({text.certificate.roles[role]})</small> {accepted ? text.certificate.accepts : text.certificate.refuses}
          <p>{why}</p>
        </div>
      </li>
    ))}
  </ul>
)
