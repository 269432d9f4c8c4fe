/** The certificates of a domain that others (or another browser) ordered: for those who prove the domain again. */
import { useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import { toAscii } from '../../../src/idna.js'
import type { AcmeClient, RevocationCode } from '../acme/client.js'
import { AcmeError, isAcmeError } from '../acme/problem.js'
import type { AcmeIdentifier } from '../acme/resources.js'
import { firstDer } from '../keys/base64.js'
import { sentenceOf, useAction } from '../request/hooks.js'
import { getJson, useJson } from '../shell/fetch.js'
import { isRunning, type KeptAccount } from '../store.js'
import { mineText as text } from '../text/en-mine.js'
import { requestText } from '../text/en-request.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { RevokeForm } from './revoke-form.js'

/** With the code for keys, which nobody needs before. */
const renewal = () => import('./renewal.js')

type Listed = { serial: string; names: { form: string; value: string }[]; profile: string; notAfter: string; status: string }
type Page = { certificates: Listed[]; next: string | null }

/** What has to be proved for the power over a certificate: its domains, or its services where it has no others. */
const identifiersOf = ({ names }: Listed): AcmeIdentifier[] => {
  const of = (form: string) => [...new Set(names.filter((name) => name.form === form).map(({ value }) => value))]
  const domains = of('dNSName').length > 0 ? of('dNSName') : of('XmppAddr').map((value) => toAscii(value) ?? value)
  return domains.length > 0 ? domains.map((value) => ({ type: 'dns', value })) : of('SRVName').map((value) => ({ type: 'srv', value }))
}

export const Elsewhere = ({ facts, client, account }: { facts: Facts; client: AcmeClient; account: KeptAccount | null }) => {
  const given = new URLSearchParams(location.search).get('domain') ?? ''
  const [typed, setTyped] = useState(given)
  const [domain, setDomain] = useState<string | null>(given || null)
  const [error, setError] = useState<string | null>(null)
  const submit = async (event: Event) => {
    event.preventDefault()
    try {
      const { readDomain } = await import('../request/read-domain.js')
      setDomain(readDomain(typed, facts.lab))
      setError(null)
    } catch (thrown) {
      setError(typed.trim() === '' ? requestText.domain.empty : sentenceOf(thrown))
    }
  }
  return (
    <section>
      <h2>{text.elsewhere.title}</h2>
      <p>{text.elsewhere.lead}</p>
      <form onSubmit={submit} noValidate>
        <Field label={text.elsewhere.label} error={error}>
          <input
            name="manage"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
          />
        </Field>
        <button type="submit">{text.elsewhere.find}</button>
      </form>
      {domain && <Found domain={domain} terms={facts.terms} client={client} account={account} />}
    </section>
  )
}

type FoundProps = { domain: string; terms: string; client: AcmeClient; account: KeptAccount | null }

/** The certificates of a domain, page by page, the newest first. */
const useListed = (domain: string) => {
  const [older, setOlder] = useState<Page & { of: string }>({ of: domain, certificates: [], next: null })
  const { busy, error, run } = useAction()
  const path = `/api/certificates?domain=${encodeURIComponent(domain)}`
  const first = useJson<Page>(path)
  const more = older.of === domain && older.certificates.length > 0 ? older : null
  if (first.state !== 'there') return { first, listed: [], next: null, busy, error, load: () => {} }
  const next = more ? more.next : first.value.next
  const load = () =>
    run(async () => {
      const page = await getJson<Page>(`${path}&cursor=${encodeURIComponent(next ?? '')}`)
      setOlder({ of: domain, certificates: [...(more?.certificates ?? []), ...page.certificates], next: page.next })
    })
  return { first, listed: [...first.value.certificates, ...(more?.certificates ?? [])], next, busy, error, load }
}

const Found = ({ domain, terms, client, account }: FoundProps) => {
  const [agreed, setAgreed] = useState(false)
  const { first, listed, next, busy, error, load } = useListed(domain)
  if (first.state === 'failed') return <Failure message={first.error.message} />
  if (first.state !== 'there') return <Busy label={text.elsewhere.busy} />
  const good = listed.filter(({ status }) => status === 'good')
  return (
    <div role="status">
      <h3>{text.elsewhere.list(domain)}</h3>
      {good.length > 0 && <p>{text.elsewhere.proveLead}</p>}
      {good.length === 0 && <p>{next === null ? text.elsewhere.none : text.elsewhere.noneYet}</p>}
      {good.length > 0 && !account?.url && (
        <p>
          <label>
            <input type="checkbox" name="agree" checked={agreed} onChange={(event) => setAgreed(event.currentTarget.checked)} />
            {text.elsewhere.agree}{' '}
            <a href={terms} target="_blank" rel="noreferrer">
              {text.elsewhere.terms}
            </a>
          </label>
        </p>
      )}
      {good.map((one) => (
        <Foreign key={one.serial} listed={one} agreed={agreed || !!account?.url} client={client} account={account} />
      ))}
      {listed.length > good.length && <p class="quiet">{text.elsewhere.ended(listed.length - good.length)}</p>}
      {error !== null && <Failure message={sentenceOf(error)} />}
      {next !== null && (
        <p>
          <button type="button" onClick={load} disabled={busy}>
            {text.elsewhere.older}
          </button>
        </p>
      )}
    </div>
  )
}

const Failure = ({ message }: { message: string }) => (
  <Notice kind="bad">
    <p>{message}</p>
  </Notice>
)

type ForeignProps = { listed: Listed; agreed: boolean; client: AcmeClient; account: KeptAccount | null }

const Foreign = ({ listed, agreed, client, account }: ForeignProps) => {
  const [state, setState] = useState<'' | 'revoking' | 'revoked' | 'running'>('')
  const proving = useAction()
  const identifiers = identifiersOf(listed)
  const names = identifiers.map(({ value }) => value)
  const start = (what: () => Promise<void>) =>
    proving.run(async () => {
      if (!agreed) throw new AcmeError('userActionRequired', text.elsewhere.mustAgree)
      if (await isRunning()) return setState('running')
      await what()
    })
  const revoke = async (reason: RevocationCode) => {
    if (!account?.url) throw new AcmeError('unauthorized', text.elsewhere.notAllowed)
    const { pem } = await getJson<{ pem: string }>(`/api/certificates/${listed.serial}`)
    try {
      await client.revoke({ signer: account.signer, url: account.url }, firstDer(pem), reason)
    } catch (error) {
      if (isAcmeError(error, 'unauthorized')) throw new AcmeError('unauthorized', text.elsewhere.notAllowed)
      throw error
    }
    setState('revoked')
  }
  return (
    <section>
      <h4>{text.names(names)}</h4>
      <p>
        {state === 'revoked' ? text.done : text.until(requestText.day(Date.parse(listed.notAfter)))}{' '}
        <a href={`/lookup/${listed.serial}`}>
          <small>{listed.serial}</small>
        </a>
      </p>
      {state !== 'revoked' && (
        <p class="row">
          <button type="button" onClick={() => start(async () => (await renewal()).prove(client, identifiers))} disabled={proving.busy}>
            {text.elsewhere.prove}
          </button>
          <button
            type="button"
            onClick={() => start(async () => (await renewal()).orderSame(client, identifiers, listed.profile))}
            disabled={proving.busy}
          >
            {text.elsewhere.same}
          </button>
          <button type="button" onClick={() => setState('revoking')} aria-label={text.revokeOf(names[0] ?? '')}>
            {text.revoke}
          </button>
        </p>
      )}
      {state === 'running' && (
        <p>
          {text.running} <a href="/request">{text.goOn}</a>
        </p>
      )}
      {proving.error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(proving.error)}</p>
        </Notice>
      )}
      {state === 'revoking' && <RevokeForm name={names[0] ?? ''} onRevoke={revoke} onCancel={() => setState('')} />}
    </section>
  )
}
