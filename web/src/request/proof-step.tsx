/** The fourth step: one authorization for each name. Looks at the order again and again, and goes on by itself when all are proved. */
import { useState } from 'preact/hooks'
import { toUnicode } from '../../../src/idna.js'
import type { Account } from '../acme/client.js'
import { isAcmeError } from '../acme/problem.js'
import type { AuthorizationResource } from '../acme/resources.js'
import { navigate } from '../shell/router.js'
import { forgetDraft, readAccount, saveCertificate } from '../store.js'
import { requestText as text } from '../text/en-request.js'
import { DomainName } from '../ui/domain-name.js'
import { Mark, Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { type Draft, type Method, startOver, withoutKey } from './draft.js'
import { answered, keptCertificate, type Look, lookAt, solvable, takeFurther, wantsOtherKey } from './flow.js'
import { sentenceOf, useAction, usePolling } from './hooks.js'
import { Check } from './names-step.js'
import { order } from './ordering.js'
import type { StepProps } from './page.js'
import { DnsProof } from './proof-dns.js'
import { HttpProof } from './proof-http.js'
import { MailProof } from './proof-mail.js'

const quickMs = 1000
const slowMs = 4000
const longestMs = 15_000

/** How long to wait before the next look: short while the CA is at work, longer and longer while it is the person’s turn. */
const waitFor = ({ order, authorizations, retryAt }: Look, round: number): number => {
  const busy =
    order.status === 'processing' || authorizations.some(({ challenges }) => challenges.some(({ status, mail }) => status === 'processing' && !mail))
  if (!busy) return Math.min(slowMs * 1.2 ** round, longestMs)
  return Math.min(Math.max(quickMs, (retryAt ?? 0) - Date.now()), longestMs)
}

type State = { look: Look | null; account: Account | null; gone: boolean; error: unknown }

/** The order as it is, kept up to date; finalizes it and fetches the certificate when the time has come. */
const useOrder = ({ draft, go, client }: StepProps): State & { refresh: () => void } => {
  const [state, setState] = useState<State>({ look: null, account: null, gone: false, error: null })
  const [refreshed, setRefreshed] = useState(0)
  const [rounds] = useState({ count: 0 })
  const finished = async (next: Draft & { pem: string }) => {
    // Where it can't be kept, the draft can't either, and `go` says so; the certificate is there all the same.
    await saveCertificate(keptCertificate(next)).catch(() => {})
    await go(next)
  }
  usePolling(`${draft.order} ${refreshed}`, async (signal) => {
    try {
      const kept = await readAccount()
      if (!kept?.url || kept.url !== draft.account || !draft.order) {
        setState({ look: null, account: null, gone: true, error: null })
        return null
      }
      const account = { signer: kept.signer, url: kept.url }
      const look = await lookAt(client, account, draft.order, signal)
      if (signal.aborted) return null
      setState({ look, account, gone: false, error: null })
      if (look.order.status === 'invalid') return null
      if (look.order.status === 'pending') return waitFor(look, rounds.count++)
      if (draft.purpose === 'manage') {
        await forgetDraft()
        navigate(`/mine?domain=${encodeURIComponent(draft.domain)}`, { replace: true })
        return null
      }
      const next = await takeFurther(client, account, look.order, draft)
      if (!next.pem) return quickMs
      await finished({ ...next, pem: next.pem })
      return null
    } catch (error) {
      if (signal.aborted) return null
      const gone = isAcmeError(error, 'accountDoesNotExist') || (isAcmeError(error, 'malformed') && error.status === 404)
      setState((before) => ({ ...before, gone, error: gone ? null : error }))
      // What the CA refuses it will refuse again; a network comes back.
      return isAcmeError(error, 'network', 'http', 'serverInternal') ? longestMs : null
    }
  })
  return {
    ...state,
    refresh: () => {
      rounds.count = 0
      setRefreshed(refreshed + 1)
    },
  }
}

const nameOf = ({ identifier, wildcard }: AuthorizationResource): string => {
  const value = identifier.type === 'dns' ? toUnicode(identifier.value) : identifier.value
  return wildcard ? `*.${value}` : value
}

export const ProofStep = (props: StepProps) => {
  const { draft, go, client } = props
  const { look, account, gone, error, refresh } = useOrder(props)
  const again = useAction()
  const restart = () => again.run(async () => go(await order(client, startOver(draft), { termsOfServiceAgreed: true })))
  const otherKey = () => again.run(async () => go(withoutKey(draft)))
  const title = draft.purpose === 'manage' ? text.proof.manageTitle(draft.domain) : text.proof.title
  const over = gone || look?.order.status === 'invalid'
  const valid = look?.authorizations.filter(({ status }) => status === 'valid').length ?? 0
  return (
    <>
      <h1>{title}</h1>
      <p class="lead">{draft.purpose === 'manage' ? text.proof.manageLead : text.proof.lead}</p>
      {!look && !over && error === null && <Busy label={text.proof.looking} />}
      {error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error)}</p>
          {isAcmeError(error) && wantsOtherKey(error.type) ? (
            <OtherKey onClick={otherKey} busy={again.busy} />
          ) : (
            <p class="row">
              <button type="button" onClick={refresh}>
                {text.again}
              </button>
              <button type="button" onClick={restart} disabled={again.busy}>
                {text.proof.restart}
              </button>
            </p>
          )}
        </Notice>
      )}
      {over && <Over look={look} onRestart={restart} onOtherKey={otherKey} busy={again.busy} />}
      {again.error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(again.error)}</p>
        </Notice>
      )}
      {look && account && !over && (
        <>
          <p role="status">{look.order.status === 'pending' ? text.proof.progress(valid, look.authorizations.length) : text.proof.finishing}</p>
          {look.authorizations.map((authorization) => (
            <Authorization
              key={authorization.url}
              {...props}
              account={account}
              authorization={authorization}
              look={look}
              restart={restart}
              onAnswered={refresh}
            />
          ))}
          <p class="quiet">{text.proof.expires(text.moment(Date.parse(look.order.expires)))}</p>
        </>
      )}
    </>
  )
}

/** The proofs stay; only another key leads on. */
const OtherKey = ({ onClick, busy }: { onClick: () => void; busy: boolean }) => (
  <>
    <p>{text.proof.otherKeyDetail}</p>
    <p>
      <button type="button" class="primary" onClick={onClick} disabled={busy}>
        {text.proof.otherKey}
      </button>
    </p>
  </>
)

type OverProps = { look: Look | null; onRestart: () => void; onOtherKey: () => void; busy: boolean }

/** An order that came to nothing, with what the CA found. */
const Over = ({ look, onRestart, onOtherKey, busy }: OverProps) => {
  const failed = look?.authorizations.filter(({ status }) => status === 'invalid') ?? []
  return (
    <Notice kind="bad" title={failed.length > 0 ? failed.map((one) => text.proof.failed(nameOf(one))).join(' ') : text.proof.gone}>
      {failed.map((one) => (
        <p key={one.url}>{answered(one)?.error?.detail}</p>
      ))}
      {look?.order.error && failed.length === 0 && <p>{look.order.error.detail}</p>}
      {wantsOtherKey(look?.order.error?.type) ? (
        <OtherKey onClick={onOtherKey} busy={busy} />
      ) : (
        <>
          <p>{failed.length > 0 ? text.proof.failedDetail : text.proof.goneDetail}</p>
          <p>
            <button type="button" class="primary" onClick={onRestart} disabled={busy}>
              {text.proof.restart}
            </button>
          </p>
        </>
      )}
    </Notice>
  )
}

type AuthorizationProps = StepProps & {
  account: Account
  authorization: AuthorizationResource
  look: Look
  restart: () => void
  onAnswered: () => void
}

const Authorization = ({ draft, go, client, account, authorization, look, restart, onAnswered }: AuthorizationProps) => {
  const name = nameOf(authorization)
  const challenges = solvable(authorization)
  const processing = challenges.find(({ status }) => status === 'processing')
  const chosen = challenges.find(({ type }) => type === (processing?.type ?? draft.methods[authorization.url])) ?? challenges[0]
  const pending = look.authorizations.filter(({ status }) => status === 'pending')
  if (authorization.status === 'valid') {
    return (
      <section>
        <h2>
          <Mark kind="good" /> <DomainName name={name} />
        </h2>
        <p>{text.proof.valid}</p>
      </section>
    )
  }
  const choose = (method: Method) => {
    const has = pending.filter((one) => solvable(one).some(({ type }) => type === method))
    // The first choice is for all names; a later one for its own.
    const first = Object.keys(draft.methods).length === 0
    const urls = first ? has.map(({ url }) => url) : [authorization.url]
    void go({ ...draft, methods: { ...draft.methods, ...Object.fromEntries(urls.map((url) => [url, method])) } })
  }
  const respond = async (payload: object) => {
    if (chosen) await client.respond(account, chosen.url, payload)
    onAnswered()
  }
  const proof = {
    authorization,
    signer: account.signer,
    look: () => client.challenge(account, chosen?.url ?? ''),
    restart,
    respond,
    pending: pending.length,
    shared: pending.filter(({ identifier }) => identifier.value === authorization.identifier.value).length > 1,
  }
  return (
    <section>
      <h2>
        <DomainName name={name} />
      </h2>
      {challenges.length > 1 && (
        <fieldset disabled={processing !== undefined}>
          <legend>{text.proof.how(name)}</legend>
          {challenges.map(({ type }) => {
            const [label, hint] = text.proof.methods[type] as [string, string]
            const group = `method-${authorization.url}`
            return (
              <Check
                key={type}
                type="radio"
                name={group}
                value={type}
                label={label}
                hint={hint}
                checked={chosen?.type === type}
                onChange={() => choose(type)}
              />
            )
          })}
        </fieldset>
      )}
      {chosen?.type === 'dns-01' && <DnsProof key={chosen.url} {...proof} challenge={chosen} />}
      {chosen?.type === 'http-01' && <HttpProof key={chosen.url} {...proof} challenge={chosen} />}
      {chosen?.type === 'email-link-01' && <MailProof key={chosen.url} {...proof} challenge={chosen} />}
      {processing && !processing.mail && (
        <div role="status">
          <Busy label={text.proof.checking} />
          {processing.error && <p>{text.proof.attempt(processing.error.detail)}</p>}
        </div>
      )}
    </section>
  )
}
