/** Proof by DNS: the record, and what each name server answers now. */
import { useEffect, useState } from 'preact/hooks'
import { dnsValue } from '../acme/client.js'
import type { Signer } from '../acme/jws.js'
import type { AuthorizationResource, ChallengeResource } from '../acme/resources.js'
import { getJson } from '../shell/fetch.js'
import { requestText as text } from '../text/en-request.js'
import { Copy } from '../ui/copy.js'
import { Mark, Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { sentenceOf, useAction, usePolling } from './hooks.js'
import { type DnsLook, dnsPath } from './public.js'

export type ProofProps = {
  authorization: AuthorizationResource
  challenge: ChallengeResource
  signer: Signer
  /** Whether another name of the order needs a record at the same place: a domain and its wildcard. */
  shared: boolean
  /** Names that are looked at at the same time. */
  pending: number
  /** The challenge, looked at by itself. */
  look: () => Promise<ChallengeResource>
  /** Orders the same names again, to take another way. */
  restart: () => void
  /** Answers the challenge. */
  respond: (payload: object) => Promise<void>
}

const firstMs = 3000
const longestMs = 15_000

/** Something that takes a moment to compute; null meanwhile. */
export const useLater = (compute: () => Promise<string>, key: string): string | null => {
  const [value, setValue] = useState<string | null>(null)
  useEffect(() => {
    let current = true
    void compute().then((computed) => current && setValue(computed))
    return () => {
      current = false
    }
  }, [key])
  return value
}

/** The button that says "look now", and what came of it. */
export const Answer = ({ label, busy, error, onClick }: { label: string; busy: boolean; error: unknown; onClick: () => void }) => (
  <>
    {error !== null && (
      <Notice kind="bad">
        <p>{sentenceOf(error)}</p>
      </Notice>
    )}
    <p>
      <button type="button" class="primary" disabled={busy} onClick={onClick}>
        {label}
      </button>
    </p>
  </>
)

type Live = { look: DnsLook | null; failed: boolean; at: number }

/** The CA answers a client's address once a second; so many names at once have to take turns. */
const useLive = (name: string, value: string | null, done: boolean, pending: number): Live | null => {
  const [live, setLive] = useState<Live | null>(null)
  const [rounds] = useState({ count: 0 })
  usePolling(`${name} ${value} ${done}`, async (signal) => {
    if (value === null || done) return null
    const look = await getJson<DnsLook>(dnsPath(name, value), signal).catch(() => null)
    if (signal.aborted) return null
    setLive({ look, failed: look === null, at: Date.now() })
    return look?.complete ? null : Math.min(firstMs * 1.25 ** rounds.count++, longestMs) * Math.max(1, pending / 2)
  })
  return live
}

export const DnsProof = ({ authorization, challenge, signer, shared, pending, respond }: ProofProps) => {
  const name = `_acme-challenge.${authorization.identifier.value}`
  const value = useLater(() => dnsValue(challenge.token ?? '', signer.jwk), challenge.url)
  const processing = challenge.status === 'processing'
  const live = useLive(name, value, processing, pending)
  const { busy, error, run } = useAction()
  const complete = live?.look?.complete === true
  useEffect(() => {
    if (complete && !processing) run(() => respond({}))
  }, [complete])
  return (
    <>
      <p>{text.proof.dns.lead}</p>
      <Copy label={text.proof.dns.name} value={name} />
      <Copy label={text.proof.dns.value} value={value ?? '…'} />
      <p>
        <small>
          {text.proof.dns.zoneHint} {shared && text.proof.dns.both}
        </small>
      </p>
      <div role="status" class="live">
        <h3>{text.proof.dns.live}</h3>
        {live ? <LiveState {...live} /> : <Busy label={text.proof.dns.asking} />}
      </div>
      <Answer label={text.proof.dns.check} busy={busy || processing} error={error} onClick={() => run(() => respond({}))} />
    </>
  )
}

const LiveState = ({ look, failed, at }: Live) => {
  if (failed || !look) return <p>{text.proof.dns.noLive}</p>
  return (
    <>
      {look.problem && <p>{look.problem}</p>}
      {look.cname && <p>{text.proof.dns.alias(look.cname)}</p>}
      <ul class="findings">
        {look.servers.map(({ server, address, state, detail, values }) => (
          <li key={`${server} ${address}`}>
            <Mark kind={state === 'right' ? 'good' : state === 'missing' ? 'info' : 'warn'} />
            <div>
              <strong>{server}</strong> {address && <small>{address}</small>} {text.proof.dns.states[state]}
              {state === 'unreachable' && <p>{detail}</p>}
              {state === 'wrong' &&
                values.map((found) => (
                  <p key={found}>
                    <code>{found}</code>
                  </p>
                ))}
            </div>
          </li>
        ))}
        {look.resolver.state !== 'notAsked' && (
          <li>
            <Mark kind={look.resolver.state === 'right' ? 'good' : 'info'} />
            <div>
              <strong>{text.proof.dns.resolver}</strong> {text.proof.dns.states[look.resolver.state]}
              {look.resolver.state !== 'right' && <p>{look.resolver.detail}</p>}
            </div>
          </li>
        )}
      </ul>
      <p class="quiet">
        {look.complete ? text.proof.dns.complete : text.proof.dns.waiting} {text.proof.dns.asked(text.clock(at))}
      </p>
    </>
  )
}
