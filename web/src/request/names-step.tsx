/** The second step: names and kind. */
import { useState } from 'preact/hooks'
import { usualServices } from '../../../src/api/facts.js'
import { toUnicode } from '../../../src/idna.js'
import { expectedLeaf } from '../../../src/pki/expected-leaf.js'
import { useJson } from '../shell/fetch.js'
import { requestText as text } from '../text/en-request.js'
import { Field } from '../ui/field.js'
import { allServices, isHosted } from './draft.js'
import { sentenceOf } from './hooks.js'
import { JudgementList } from './judgement.js'
import type { StepProps } from './page.js'
import { type DomainFacts, domainPath } from './public.js'
import { readDomain } from './read-domain.js'

type Suggestion = { name: string; hint: string }

/** The usual ones where the CA can't say which of them exist, or not yet. */
const suggestionsOf = (domain: string, facts: DomainFacts | null, chosen: string[]): Suggestion[] => {
  const services = facts?.suggestions ?? usualServices.map((label) => ({ name: `${label}.${domain}`, resolves: null }))
  const wildcard = `*.${domain}`
  const own = chosen.filter((name) => name !== wildcard && !services.some((service) => service.name === name))
  return [
    ...services
      .filter(({ name }) => name !== domain && name !== wildcard)
      .map(({ name, resolves }) => ({ name, hint: resolves ? text.names.found : '' })),
    ...own.map((name) => ({ name, hint: '' })),
    { name: wildcard, hint: text.names.wildcard },
  ]
}

const shown = (name: string): string => {
  const unicode = toUnicode(name.replace(/^\*\./, ''))
  return name.startsWith('*.') ? `*.${unicode}` : unicode
}

const toggled = (list: string[], value: string, on: boolean): string[] =>
  on ? [...list.filter((one) => one !== value), value] : list.filter((one) => one !== value)

type CheckProps = {
  name: string
  value: string
  label: string
  hint: string
  checked: boolean
  disabled?: boolean
  type?: 'checkbox' | 'radio'
  onChange?: (on: boolean) => void
}

/** A check box or radio button with its name and what to know of it. */
export const Check = ({ name, value, label, hint, checked, disabled = false, type = 'checkbox', onChange }: CheckProps) => (
  <p class="check">
    <label>
      <input
        type={type}
        name={name}
        value={value}
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange?.(event.currentTarget.checked)}
      />
      {label} {hint && <small>{hint}</small>}
    </label>
  </p>
)

export const NamesStep = ({ facts, draft, go }: StepProps) => {
  const usualProfile = facts.profiles.find(({ isDefault }) => isDefault)?.name ?? ''
  const [others, setOthers] = useState(draft.others)
  const [services, setServices] = useState(draft.services)
  const [profile, setProfile] = useState(draft.profile || usualProfile)
  const [error, setError] = useState<string | null>(null)
  const answer = useJson<DomainFacts>(domainPath(draft.domain))
  const hosted = isHosted(profile)
  const submit = (event: Event) => {
    event.preventDefault()
    if (hosted && services.length === 0) return setError(text.names.noService)
    void go({ ...draft, others, services, profile, step: 'key', order: null })
  }
  return (
    <>
      <h1>{text.names.title}</h1>
      <p class="lead">{text.names.lead(shown(draft.domain))}</p>
      <form onSubmit={submit} noValidate>
        {hosted ? (
          <fieldset aria-describedby="services-error">
            <legend>{text.names.services}</legend>
            <p>{text.names.hosted}</p>
            {allServices.map((service) => (
              <Check
                key={service}
                name="service"
                value={service}
                label={`${service}.${shown(draft.domain)}`}
                hint={text.names.serviceNames[service] ?? ''}
                checked={services.includes(service)}
                onChange={(on) => setServices(toggled(services, service, on))}
              />
            ))}
            <small id="services-error" class="error" aria-live="polite">
              {error}
            </small>
          </fieldset>
        ) : (
          <fieldset>
            <legend>{text.names.legend}</legend>
            <Check name="name" value={draft.domain} label={shown(draft.domain)} hint={text.names.always} checked disabled />
            {suggestionsOf(draft.domain, answer.state === 'there' ? answer.value : null, others).map(({ name, hint }) => (
              <Check
                key={name}
                name="name"
                value={name}
                label={shown(name)}
                hint={hint}
                checked={others.includes(name)}
                onChange={(on) => setOthers(toggled(others, name, on))}
              />
            ))}
            <AnotherName domain={draft.domain} lab={facts.lab} onAdd={(name) => name !== draft.domain && setOthers(toggled(others, name, true))} />
          </fieldset>
        )}
        <fieldset>
          <legend>{text.names.kinds}</legend>
          {facts.profiles.map(({ name, description, isDefault }) => (
            <Check
              key={name}
              type="radio"
              name="profile"
              value={name}
              label={isDefault ? `${name} (${text.names.standard})` : name}
              hint={text.names.costs[name] ?? description}
              checked={profile === name}
              onChange={() => setProfile(name)}
            />
          ))}
        </fieldset>
        <Prospect facts={facts} draft={{ ...draft, others, services, profile }} />
        <button type="submit">{text.next}</button>
      </form>
    </>
  )
}

/** What the certificate that is chosen here will work with. */
const Prospect = ({ facts, draft: { domain, others, services, profile } }: Pick<StepProps, 'facts' | 'draft'>) => {
  const kind = facts.profiles.find(({ name }) => name === profile)
  if (!kind) return null
  const names = kind.services
    ? { domains: [], services: services.map((service) => `${service}.${domain}`) }
    : { domains: [domain, ...others], services: [] }
  return (
    <details>
      <summary>{text.names.judgement(shown(domain))}</summary>
      <JudgementList leaf={expectedLeaf(kind, names, Date.now())} domain={domain} />
    </details>
  )
}

const AnotherName = ({ domain, lab, onAdd }: { domain: string; lab: boolean; onAdd: (name: string) => void }) => {
  const [typed, setTyped] = useState('')
  const [error, setError] = useState<string | null>(null)
  const add = () => {
    if (typed.trim() === '') return
    try {
      const wildcard = typed.trim().startsWith('*.')
      onAdd((wildcard ? '*.' : '') + readDomain(typed, lab))
      setTyped('')
      setError(null)
    } catch (thrown) {
      setError(sentenceOf(thrown))
    }
  }
  // Enter here means this field, not the whole form.
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || typed.trim() === '') return
    event.preventDefault()
    add()
  }
  return (
    <>
      <Field label={text.names.custom} help={text.names.customHelp(shown(domain))} error={error}>
        <input
          name="another"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
          onKeyDown={onKeyDown}
          onBlur={add}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </Field>
      <button type="button" class="small" onClick={add}>
        {text.names.add}
      </button>
    </>
  )
}
