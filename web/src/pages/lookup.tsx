import { useEffect, useState } from 'preact/hooks'
import { getJson, useJson } from '../shell/fetch.js'
import type { PageProps } from '../shell/pages.js'
import { navigate } from '../shell/router.js'
import { text } from '../text/en.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { StatusMark } from '../ui/status.js'
import type { CertificateList, Summary } from './answers.js'
import { CertificateView } from './certificate.js'
import { Drop } from './drop.js'
import { placeOf } from './place-of.js'

const t = text.lookup

const queryOf = (name: string): string => new URLSearchParams(location.search).get(name)?.trim() ?? ''

export default function Page({ path }: PageProps) {
  const serial = path.split('/')[2] ?? ''
  if (serial) return <CertificateView key={serial} serial={serial} />
  const [domain, fingerprint] = [queryOf('domain'), queryOf('fingerprint')]
  return (
    <>
      <h1>{t.title}</h1>
      <p class="lead">{t.lead}</p>
      <Search key={domain} domain={domain} />
      {fingerprint ? <ByFingerprint fingerprint={fingerprint} /> : domain ? <ByDomain domain={domain} /> : <Drop />}
    </>
  )
}

const Search = ({ domain }: { domain: string }) => {
  const [value, setValue] = useState(domain)
  const [error, setError] = useState('')
  const submit = (event: Event) => {
    event.preventDefault()
    const asked = value.trim()
    if (!asked) return setError(t.empty)
    navigate(placeOf(asked))
  }
  return (
    <form onSubmit={submit} noValidate>
      <Field label={t.query} help={t.queryHelp} error={error}>
        <input
          name="domain"
          value={value}
          onInput={({ currentTarget }) => {
            setValue(currentTarget.value)
            setError('')
          }}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </Field>
      <button type="submit">{t.submit}</button>
    </form>
  )
}

const listPath = (domain: string, cursor: string | null): string =>
  `/api/certificates?domain=${encodeURIComponent(domain)}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`

const ByDomain = ({ domain }: { domain: string }) => {
  const [more, setMore] = useState<CertificateList & { of: string }>({ of: domain, certificates: [], next: null })
  const [failure, setFailure] = useState('')
  const first = useJson<CertificateList>(listPath(domain, null))
  if (first.state === 'failed') return <Failure message={first.error.message} />
  if (first.state !== 'there') return <Busy label={t.busy} />
  const older = more.of === domain ? more.certificates : []
  const next = older.length > 0 ? more.next : first.value.next
  const load = () =>
    getJson<CertificateList>(listPath(domain, next)).then(
      (page) => setMore({ of: domain, certificates: [...older, ...page.certificates], next: page.next }),
      (error: Error) => setFailure(error.message),
    )
  const all = [...first.value.certificates, ...older]
  if (all.length === 0) return <Notice kind="info">{t.none(domain)}</Notice>
  return (
    <section>
      <h2>{t.resultsFor(domain)}</h2>
      <List certificates={all} />
      {failure && <Failure message={failure} />}
      {next && (
        <button type="button" onClick={load}>
          {t.more}
        </button>
      )}
    </section>
  )
}

const Failure = ({ message }: { message: string }) => (
  <Notice kind="bad">
    <p>{message}</p>
  </Notice>
)

const domainsOf = ({ names }: Summary): string =>
  [...new Set(names.map(({ form, value }) => (form === 'SRVName' ? value.replace(/^_[^.]+\./, '') : value)))].join(', ')

const List = ({ certificates }: { certificates: Summary[] }) => (
  <div class="scroll">
    <table class="cards">
      <thead>
        <tr>
          <th scope="col">{t.names}</th>
          <th scope="col">{t.state}</th>
          <th scope="col">{t.validity}</th>
          <th scope="col">{t.profile}</th>
        </tr>
      </thead>
      <tbody>
        {certificates.map((one) => (
          <tr key={one.serial}>
            <td>
              <a href={`/lookup/${one.serial}`}>{domainsOf(one)}</a>
            </td>
            <td>
              <StatusMark status={one.status} />
            </td>
            <td>{t.range(text.day(one.notBefore), text.day(one.notAfter))}</td>
            <td>
              <code>{one.profile}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
)

/** The certificate with a fingerprint, at its own address. */
const ByFingerprint = ({ fingerprint }: { fingerprint: string }) => {
  const answer = useJson<CertificateList>(`/api/certificates?fingerprint=${encodeURIComponent(fingerprint)}`)
  const serial = answer.state === 'there' ? answer.value.certificates[0]?.serial : undefined
  useEffect(() => {
    if (serial) navigate(`/lookup/${serial}`, { replace: true })
  }, [serial])
  if (answer.state === 'failed' && answer.error.status !== 404) return <Failure message={answer.error.message} />
  if (serial || answer.state === 'busy') return <Busy label={t.busy} />
  return (
    <Notice kind="warn" title={t.notOurs}>
      <p>{t.notOursDetail(fingerprint)}</p>
    </Notice>
  )
}
