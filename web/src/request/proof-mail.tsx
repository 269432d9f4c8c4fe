/** Proof by a link in a message (docs/acme-xmpp.md, email-link-01): who gets it, and what became of it. */
import { useEffect, useState } from 'preact/hooks'
import { thumbprint } from '../acme/jws.js'
import type { MailAddress, MailState } from '../acme/resources.js'
import { requestText as text } from '../text/en-request.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { useAction } from './hooks.js'
import { Check } from './names-step.js'
import { Answer, type ProofProps, useLater } from './proof-dns.js'

type Found = { addresses: MailAddress[]; problems: string[] }

/** The addresses that answer for the domain: the challenge asks the DNS for them when it is looked at by itself. */
const useAddresses = ({ challenge, look }: Pick<ProofProps, 'challenge' | 'look'>): Found | null => {
  const [found, setFound] = useState<Found | null>(null)
  useEffect(() => {
    let current = true
    const show = ({ addresses = [], problems = [] }: Partial<Found>) => current && setFound({ addresses, problems })
    // What the authorization has is better than nothing.
    look().then(show, () => show(challenge))
    return () => {
      current = false
    }
  }, [challenge.url])
  return found
}

const isStuck = (mail: MailState | undefined): boolean => mail?.state === 'failed' || mail?.state === 'bounced'

export const MailProof = ({ challenge, signer, look, restart, respond }: ProofProps) => {
  const { mail } = challenge
  const found = useAddresses({ challenge, look })
  const [chosen, setChosen] = useState<string | null>(null)
  const [again, setAgain] = useState(false)
  const { busy, error, run } = useAction()
  const choosing = !mail || isStuck(mail) || again
  // A message that came back may go to the same address once more.
  const known = found?.addresses ?? []
  const addresses = known.length > 0 || !mail ? known : [{ address: mail.address, source: '', at: '' }]
  const address = chosen ?? addresses[0]?.address ?? null
  const send = () =>
    run(async () => {
      if (address === null) return
      await respond({ address })
      setAgain(false)
    })
  return (
    <>
      {mail && <Sent mail={mail} />}
      {mail && <Fingerprint signer={signer} />}
      {choosing && !found && (
        <div class="live long">
          <Busy label={text.proof.mail.looking} />
        </div>
      )}
      {choosing && found && (
        <>
          {!mail && <p>{text.proof.mail.lead}</p>}
          {addresses.length > 0 && (
            <fieldset>
              <legend>{text.proof.mail.legend}</legend>
              {addresses.map(({ address: one, source, at }) => (
                <Check
                  key={one}
                  type="radio"
                  name={`address-${challenge.url}`}
                  value={one}
                  label={one}
                  hint={text.proof.mail.sources[source]?.(at) ?? ''}
                  checked={address === one}
                  onChange={() => setChosen(one)}
                />
              ))}
            </fieldset>
          )}
          {found.problems.map((problem) => (
            <p key={problem} class="quiet">
              {problem}
            </p>
          ))}
          {addresses.length === 0 && <p>{text.proof.mail.none}</p>}
          {addresses.length > 0 && (
            <Answer label={mail ? text.proof.mail.resend : text.proof.mail.send} busy={busy || address === null} error={error} onClick={send} />
          )}
        </>
      )}
      {mail && (
        <p class="row">
          {!choosing && known.length > 0 && (
            <button type="button" class="small" onClick={() => setAgain(true)}>
              {text.proof.mail.another}
            </button>
          )}
          <button type="button" class="small" onClick={restart}>
            {text.proof.mail.otherWay}
          </button>
        </p>
      )}
    </>
  )
}

const Sent = ({ mail }: { mail: MailState }) => {
  const stuck = isStuck(mail)
  return (
    <div role="status">
      <Notice kind={stuck ? 'bad' : mail.state === 'deferred' ? 'warn' : 'info'}>
        <p>{text.proof.mail.states[mail.state]?.(mail.address)}</p>
        {(stuck || mail.state === 'deferred') && <p>{mail.detail}</p>}
        {!stuck && <p>{text.proof.mail.expires(text.moment(Date.parse(mail.expires)))}</p>}
      </Notice>
    </div>
  )
}

const Fingerprint = ({ signer }: Pick<ProofProps, 'signer'>) => {
  const print = useLater(() => thumbprint(signer.jwk), signer.jwk.x ?? signer.jwk.n ?? '')
  return (
    <p class="quiet">
      {text.proof.mail.thumbprint} <code>{print}</code>
    </p>
  )
}
