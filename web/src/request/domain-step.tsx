/** The first step: the domain, and what the CA sees of it while one types. */
import { useEffect, useState } from 'preact/hooks'
import { useJson } from '../shell/fetch.js'
import { requestText as text } from '../text/en-request.js'
import { Field } from '../ui/field.js'
import { Mark, Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { newDraft } from './draft.js'
import { sentenceOf, useAction } from './hooks.js'
import type { StepProps } from './page.js'
import { type DomainFacts, domainPath } from './public.js'

const TYPING_MS = 400

type Reader = (typed: string, lab: boolean) => string

const loadReader = async (): Promise<Reader> => (await import('./read-domain.js')).readDomain

/** Null until it is loaded, which begins when the page is there. */
const useReader = (): Reader | null => {
  const [reader, setReader] = useState<{ read: Reader } | null>(null)
  useEffect(() => {
    loadReader().then(
      (read) => setReader({ read }),
      // Whoever goes on tries again and hears of it.
      () => {},
    )
  }, [])
  return reader?.read ?? null
}

const problemOf = (typed: string, lab: boolean, read: Reader): string | null => {
  if (typed.trim() === '') return text.domain.empty
  try {
    read(typed, lab)
    return null
  } catch (error) {
    return sentenceOf(error)
  }
}

export const DomainStep = ({ facts, draft, go }: StepProps) => {
  const [typed, setTyped] = useState(draft.domain)
  const [settled, setSettled] = useState(draft.domain)
  const [tried, setTried] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(typed), TYPING_MS)
    return () => clearTimeout(timer)
  }, [typed])
  const reader = useReader()
  const { busy, error, run } = useAction()
  const problem = reader && problemOf(typed, facts.lab, reader)
  // Not while somebody is still typing the first letters.
  const shown = problem && (tried || (settled === typed && typed.includes('.'))) ? problem : null
  const known = reader && problemOf(settled, facts.lab, reader) === null ? reader(settled, facts.lab) : null
  const submit = (event: Event) => {
    event.preventDefault()
    setTried(true)
    run(async () => {
      const read = reader ?? (await loadReader())
      if (problemOf(typed, facts.lab, read)) return
      const domain = read(typed, facts.lab)
      // Other names belong to the domain that was there before.
      await go({ ...(domain === draft.domain ? draft : newDraft(domain)), step: 'names', order: null })
    })
  }
  return (
    <>
      <h1>{text.domain.title}</h1>
      <p class="lead">{text.domain.lead}</p>
      <form onSubmit={submit} noValidate>
        <Field label={text.domain.label} help={text.domain.help} error={shown}>
          <input
            name="domain"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            inputMode="url"
          />
        </Field>
        {error !== null && (
          <Notice kind="bad">
            <p>{sentenceOf(error)}</p>
          </Notice>
        )}
        <button type="submit" disabled={busy}>
          {text.next}
        </button>
      </form>
      {known && <Seen name={known} />}
    </>
  )
}

const Seen = ({ name }: { name: string }) => {
  const answer = useJson<DomainFacts>(domainPath(name))
  if (answer.state === 'failed') return <p class="quiet">{text.domain.unseen}</p>
  if (answer.state !== 'there') return <Busy label={text.domain.looking} />
  const { value } = answer
  const valid = value.certificates.filter(({ status }) => status === 'good')
  const last = Math.max(...valid.map(({ notAfter }) => Date.parse(notAfter)))
  const services = value.srv.filter(({ target }) => target !== '.')
  return (
    <section aria-live="polite">
      <h2>{text.domain.seen(value.unicode ?? name)}</h2>
      {value.ascii !== value.unicode && <p>{text.domain.spelled(value.ascii ?? name)}</p>}
      {value.problem && (
        <Notice kind="bad">
          <p>{value.problem.detail}</p>
        </Notice>
      )}
      {value.limits && (
        <Notice kind="warn">
          <p>
            {value.limits.detail} {text.until(text.moment(Date.parse(value.limits.retryAt)))}
          </p>
        </Notice>
      )}
      <dl class="facts">
        <dt>{text.domain.srv}</dt>
        <dd>
          {services.map(({ service, target, port }) => (
            <div key={`${service}${target}${port}`}>{text.domain.srvRecord(service, target, port)}</div>
          ))}
          {services.length === 0 && text.domain.noSrv}
        </dd>
        {value.caa && (
          <>
            <dt>{text.domain.caa}</dt>
            <dd>
              <Mark kind={value.caa.allowed ? 'good' : 'bad'} />{' '}
              {value.caa.allowed ? text.domain.caaFine : `${text.domain.caaRefused} ${value.caa.detail}`}
            </dd>
          </>
        )}
        <dt>{text.domain.existing}</dt>
        <dd>{valid.length > 0 ? text.domain.some(valid.length, text.day(last)) : text.domain.none}</dd>
      </dl>
      {value.incomplete.length > 0 && (
        <Notice kind="info">
          {value.incomplete.map((sentence) => (
            <p key={sentence}>{sentence}</p>
          ))}
        </Notice>
      )}
    </section>
  )
}
