import { useJson } from '../shell/fetch.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { DomainName } from '../ui/domain-name.js'
import { Download } from '../ui/download.js'
import { Fingerprint } from '../ui/fingerprint.js'
import { Names } from '../ui/names.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import type { Certificate } from './answers.js'

const t = text.lookup

/** One certificate by its serial number: what it says, and what is said of it. */
export const CertificateView = ({ serial }: { serial: string }) => {
  const answer = useJson<Certificate>(`/api/certificates/${serial.toLowerCase()}`)
  if (answer.state === 'there') return <Details certificate={answer.value} />
  return (
    <>
      <h1>{t.title}</h1>
      {answer.state === 'failed' ? (
        <>
          <Notice kind={answer.error.status === 404 ? 'warn' : 'bad'}>
            <p>{answer.error.message}</p>
          </Notice>
          <Back />
        </>
      ) : (
        <Busy label={t.busy} />
      )}
    </>
  )
}

const Back = () => (
  <p>
    <a href="/lookup">{t.back}</a>
  </p>
)

const Standing = ({ certificate: { status, revocation, notAfter } }: { certificate: Certificate }) => {
  if (status === 'revoked' && revocation) return <Notice kind="bad" title={t.statusLong.revoked(text.moment(revocation.at), revocation.reason)} />
  if (status === 'expired') return <Notice kind="warn" title={t.statusLong.expired(text.moment(notAfter))} />
  return <Notice kind="good" title={t.statusLong.good} />
}

/** What its owner calls it: the common name, where it has one. */
const titleOf = ({ subject, names, serial }: Certificate): string => /^CN=([^,]+)$/.exec(subject)?.[1] ?? names[0]?.value ?? serial

const Details = ({ certificate }: { certificate: Certificate }) => {
  const { serial, names, notBefore, notAfter, profile, subject, issuer, issuedAt, fingerprint, pem } = certificate
  return (
    <>
      <h1>
        <DomainName name={titleOf(certificate)} />
      </h1>
      <Standing certificate={certificate} />
      <dl class="facts">
        <dt>{t.names}</dt>
        <dd>
          <Names names={names} />
        </dd>
        <dt>{t.validity}</dt>
        <dd>{t.range(text.moment(notBefore), text.moment(notAfter))}</dd>
        <dt>{t.profile}</dt>
        <dd>
          <code>{profile}</code>
        </dd>
        <dt>{t.subject}</dt>
        <dd>{subject}</dd>
        <dt>{t.issuer}</dt>
        <dd>{issuer.name}</dd>
        <dt>{t.issued}</dt>
        <dd>{text.moment(issuedAt)}</dd>
        <Answers certificate={certificate} />
      </dl>
      <Copy label={t.serial} value={serial} />
      <Fingerprint label={t.fingerprint} value={fingerprint.toUpperCase().replace(/(..)(?!$)/g, '$1:')} />
      <Copy label={t.pem} value={pem.trimEnd()} />
      <p>
        <Download name={`${serial}.pem`} type="application/x-pem-file" bytes={pem}>
          {t.pem}
        </Download>
      </p>
      <Back />
    </>
  )
}

/** What OCSP and CRL tell those who ask them. */
const Answers = ({ certificate: { ocsp, crl } }: { certificate: Certificate }) => (
  <>
    <dt>{t.ocsp}</dt>
    <dd>{ocsp ? t.ocspAnswer(ocsp.status, text.moment(ocsp.thisUpdate), text.moment(ocsp.nextUpdate)) : t.ocspNone}</dd>
    <dt>{t.crl}</dt>
    <dd>
      {crl ? (
        <>
          {t.crlAnswer(crl.listed, String(crl.number ?? ''), text.moment(crl.thisUpdate), text.moment(crl.nextUpdate))} (
          <a href={crl.url}>{t.crlFile}</a>)
        </>
      ) : (
        t.crlNone
      )}
    </dd>
  </>
)
