/** A certification request of one's own: pasted, chosen or dropped, and read before it goes anywhere. */
import { useState } from 'preact/hooks'
import type { AcmeIdentifier } from '../acme/resources.js'
import { derFrom } from '../keys/base64.js'
import { type RequestFacts, readRequest } from '../keys/read.js'
import { requestText as text } from '../text/en-request.js'
import { Field } from '../ui/field.js'
import { type Draft, identifiersOf } from './draft.js'
import { compareNames } from './flow.js'

/** What stands in the field, or a binary file in its place. */
export type CsrInput = { text: string; der: Uint8Array | null }

const labels = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']
const longest = 64 * 1024

const problemOf = (given: string): string => {
  if (given.trim() === '') return text.key.csrEmpty
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(given)) return text.key.csrIsKey
  if (given.includes('-----BEGIN CERTIFICATE-----')) return text.key.csrIsCertificate
  return text.key.csrNone
}

const weaknessOf = ({ key }: RequestFacts): string | null => {
  if (key.kind === 'RSA') return key.bits < 2048 ? text.key.csrWeak(key.bits) : null
  return key.kind === 'P-256' || key.kind === 'P-384' ? null : text.key.csrKind(key.kind)
}

/** Whether a name could be ordered: a common name may be anything. */
const isDomain = (name: string): boolean => /^(\*\.)?([a-z0-9-]+\.)+[a-z0-9-]+$/.test(name)

/** The domains or services that a request asks for; an XmppAddr is no name of its own. */
const namesOf = ({ names, commonName }: RequestFacts): string[] => {
  const asked = names.filter(({ form }) => form !== 'XmppAddr').map(({ value }) => value.toLowerCase())
  return [...new Set(commonName ? [commonName.toLowerCase(), ...asked] : asked)]
}

type Read = { der: Uint8Array; facts: RequestFacts } | { problem: string; facts?: RequestFacts }

/** A request for exactly these identifiers, or what is wrong with it. */
export const readCsr = (input: CsrInput, identifiers: readonly AcmeIdentifier[]): Read => {
  const der = input.der ?? derFrom(new TextEncoder().encode(input.text), ...labels)
  if (!der) return { problem: problemOf(input.text) }
  let facts: RequestFacts
  try {
    facts = readRequest(der)
  } catch {
    return { problem: text.key.csrNone }
  }
  const weakness = weaknessOf(facts)
  if (weakness) return { problem: weakness, facts }
  const ordered = identifiers.map(({ value }) => value)
  // SRVNames of an ordered domain come from its profile anyway.
  const asked = namesOf(facts).filter((name) => !name.startsWith('_') || identifiers.some(({ type }) => type === 'srv'))
  const { missing, extra } = compareNames(asked, ordered)
  return missing.length + extra.length > 0 ? { problem: text.key.csrNames(missing, extra), facts } : { der, facts }
}

type CsrFieldProps = {
  input: CsrInput
  onInput: (input: CsrInput) => void
  draft: Draft
  error: string | null
  onTakeNames: (change: Pick<Draft, 'domain' | 'others'>) => void
}

export const CsrField = ({ input, onInput, draft, error, onTakeNames }: CsrFieldProps) => {
  const [over, setOver] = useState(false)
  const [tooLarge, setTooLarge] = useState<string | null>(null)
  const given = input.der !== null || input.text.trim() !== ''
  const read = given ? readCsr(input, identifiersOf(draft)) : null
  const problem = read && 'problem' in read ? read.problem : null
  const names = read?.facts ? namesOf(read.facts).filter((name) => !name.startsWith('_')) : []
  const [first, ...rest] = names.includes(draft.domain) ? [draft.domain, ...names.filter((name) => name !== draft.domain)] : names
  const take = async (file: File | undefined) => {
    if (!file) return
    setTooLarge(file.size > longest ? text.key.csrTooLarge(file.name) : null)
    if (file.size > longest) return onInput({ text: '', der: null })
    const bytes = new Uint8Array(await file.arrayBuffer())
    const binary = bytes[0] === 0x30
    onInput({ text: binary ? '' : new TextDecoder().decode(bytes), der: binary ? bytes : null })
  }
  return (
    // The drop zone is a help for those with a mouse; the field and the file chooser inside do the same.
    // biome-ignore lint/a11y/noStaticElementInteractions: nothing is reachable by it alone
    <div
      class={over ? 'drop over' : 'drop'}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        void take(event.dataTransfer?.files[0])
      }}
    >
      <Field label={text.key.csrLabel} help={text.key.csrPaste} error={tooLarge ?? problem ?? error}>
        <textarea
          name="csr"
          value={input.text}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => {
            setTooLarge(null)
            onInput({ text: event.currentTarget.value, der: null })
          }}
        />
      </Field>
      <label>
        {text.key.csrFile} <input type="file" name="csrFile" onChange={(event) => void take(event.currentTarget.files?.[0])} />
      </label>
      {/* A binary file leaves the field empty. */}
      <p role="status">{input.der && read?.facts && text.key.csrTaken(namesOf(read.facts))}</p>
      {problem && first && !first.startsWith('*.') && names.every(isDomain) && read?.facts && weaknessOf(read.facts) === null && (
        <button type="button" class="small" onClick={() => onTakeNames({ domain: first, others: rest })}>
          {text.key.takeNames([first, ...rest])}
        </button>
      )}
    </div>
  )
}
