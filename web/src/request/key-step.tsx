/** The third step: the key or a CSR, the terms, and the order. */
import { useEffect, useState } from 'preact/hooks'
import type { NewAccount } from '../acme/client.js'
import { isAcmeError } from '../acme/problem.js'
import { fromBase64 } from '../keys/base64.js'
import { type KeyAlgorithm, keyAlgorithms } from '../keys/private-keys.js'
import { useJson } from '../shell/fetch.js'
import { readAccount } from '../store.js'
import { requestText as text } from '../text/en-request.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { mailOf } from './contact.js'
import { CsrField, type CsrInput, readCsr } from './csr-field.js'
import { type Draft, identifiersOf } from './draft.js'
import { withKey } from './flow.js'
import { sentenceOf, useAction } from './hooks.js'
import { Check } from './names-step.js'
import { order } from './ordering.js'
import type { StepProps } from './page.js'

const addressForm = /^[^\s@<>,;]{1,64}@[^\s@<>,;]+\.[^\s@<>,;]+$/

/** Of the directory's meta, what the form has to know before it makes an account. */
type Meta = { meta: { externalAccountRequired?: boolean } }

/** `mail` null: nobody has touched it, so that what the account has stays. */
type Inputs = { agreed: boolean; mail: string | null; keyId: string; macKey: string }
type Mistakes = { csr?: string | null; agreed?: string | null; mail?: string | null; binding?: string | null }

const mistakesOf = (inputs: Inputs, bound: boolean, csr: string | null): Mistakes => {
  const mistakes: Mistakes = {}
  if (csr) mistakes.csr = csr
  if (!inputs.agreed) mistakes.agreed = text.key.mustAgree
  if (inputs.mail?.trim() && !addressForm.test(inputs.mail.trim())) mistakes.mail = text.key.mailBad
  if (bound && (!inputs.keyId.trim() || !fromBase64(inputs.macKey)?.length)) mistakes.binding = text.key.bindingMissing
  return mistakes
}

const requestOf = ({ agreed, mail, keyId, macKey }: Inputs, bound: boolean): NewAccount => ({
  termsOfServiceAgreed: agreed,
  ...(mail !== null && { contact: mail.trim() ? [`mailto:${mail.trim()}`] : [] }),
  externalAccount: bound ? { keyId: keyId.trim(), macKey: fromBase64(macKey) ?? new Uint8Array() } : null,
})

/** The address at which the account of this browser gets its notices. */
const useKnownMail = (): string => {
  const [known, setKnown] = useState('')
  useEffect(() => {
    readAccount().then(
      (account) => setKnown(mailOf(account?.contact ?? [])),
      () => {},
    )
  }, [])
  return known
}

export const KeyStep = ({ facts, draft, go, client }: StepProps) => {
  const [kind, setKind] = useState<KeyAlgorithm | 'csr'>(draft.key.kind === 'csr' ? 'csr' : draft.key.algorithm)
  const [csr, setCsr] = useState<CsrInput>({ text: '', der: draft.key.kind === 'csr' && draft.key.der.length > 0 ? draft.key.der : null })
  const [inputs, setInputs] = useState<Inputs>({ agreed: false, mail: null, keyId: '', macKey: '' })
  const [mistakes, setMistakes] = useState<Mistakes>({})
  const directory = useJson<Meta>('/acme/directory')
  const bound = directory.state === 'there' && directory.value.meta.externalAccountRequired === true
  const { busy, error, run } = useAction()
  const knownMail = useKnownMail()
  const mailRefused = isAcmeError(error, 'invalidContact', 'unsupportedContact') ? error.message : null
  const set = (change: Partial<Inputs>) => setInputs({ ...inputs, ...change })

  const keyOf = (): Draft['key'] | string => {
    if (kind === 'csr') {
      const read = readCsr(csr, identifiersOf(draft))
      return 'problem' in read ? read.problem : { kind: 'csr', der: read.der }
    }
    // A key that was made for this request stays, so that going back and forth makes no other.
    return draft.key.kind === 'new' && draft.key.algorithm === kind ? draft.key : { kind: 'new', algorithm: kind, pkcs8: null }
  }
  const submit = (event: Event) => {
    event.preventDefault()
    const key = keyOf()
    const found = mistakesOf(inputs, bound, typeof key === 'string' ? key : null)
    setMistakes(found)
    if (typeof key === 'string' || Object.keys(found).length > 0) return
    run(async () => {
      const ready = await withKey({ ...draft, key, saved: false })
      await go(await order(client, ready, requestOf(inputs, bound)))
    })
  }
  return (
    <>
      <h1>{text.key.title}</h1>
      <p class="lead">{text.key.lead}</p>
      <form onSubmit={submit} noValidate>
        <fieldset>
          <legend>{text.key.legend}</legend>
          {keyAlgorithms.map((algorithm) => {
            const [label, hint] = text.key.kinds[algorithm] as [string, string]
            return (
              <Check
                key={algorithm}
                type="radio"
                name="key"
                value={algorithm}
                label={label}
                hint={hint}
                checked={kind === algorithm}
                onChange={() => setKind(algorithm)}
              />
            )
          })}
          <Check
            type="radio"
            name="key"
            value="csr"
            label={text.key.csr}
            hint={text.key.csrHelp}
            checked={kind === 'csr'}
            onChange={() => setKind('csr')}
          />
          {kind === 'csr' && (
            <CsrField
              input={csr}
              onInput={setCsr}
              draft={draft}
              error={mistakes.csr ?? null}
              onTakeNames={(change) => {
                void go({ ...draft, ...change, key: csr.der ? { kind: 'csr', der: csr.der } : draft.key, step: 'key' })
                setMistakes({})
              }}
            />
          )}
        </fieldset>
        {bound && <Binding inputs={inputs} set={set} error={mistakes.binding} />}
        {facts.mail && (
          <Field label={text.key.mail} help={text.key.mailHelp} error={mistakes.mail ?? mailRefused}>
            <input
              name="mail"
              type="email"
              value={inputs.mail ?? knownMail}
              onInput={(event) => set({ mail: event.currentTarget.value })}
              autocomplete="email"
            />
          </Field>
        )}
        <p class="check">
          <label>
            <input
              type="checkbox"
              name="agree"
              checked={inputs.agreed}
              aria-describedby="agree-error"
              aria-invalid={mistakes.agreed ? 'true' : undefined}
              onChange={(event) => set({ agreed: event.currentTarget.checked })}
            />
            {text.key.agree}{' '}
            <a href={facts.terms} target="_blank" rel="noreferrer">
              {text.key.terms}
            </a>
          </label>
          <br />
          <small id="agree-error" class="error" aria-live="polite">
            {mistakes.agreed}
          </small>
        </p>
        {error !== null && mailRefused === null && (
          <Notice kind="bad">
            <p>{sentenceOf(error)}</p>
          </Notice>
        )}
        <button type="submit" disabled={busy}>
          {text.key.order}
        </button>
        {busy && <Busy label={text.key.ordering} />}
      </form>
    </>
  )
}

const Binding = ({ inputs, set, error }: { inputs: Inputs; set: (change: Partial<Inputs>) => void; error: string | null | undefined }) => (
  <fieldset>
    <legend>{text.key.binding}</legend>
    <Field label={text.key.keyId} error={error}>
      <input name="keyId" value={inputs.keyId} onInput={(event) => set({ keyId: event.currentTarget.value })} autocomplete="off" spellcheck={false} />
    </Field>
    <Field label={text.key.macKey} error={error}>
      <input
        name="macKey"
        value={inputs.macKey}
        onInput={(event) => set({ macKey: event.currentTarget.value })}
        autocomplete="off"
        spellcheck={false}
      />
    </Field>
  </fieldset>
)
