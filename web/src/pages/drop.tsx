import { useRef, useState } from 'preact/hooks'
import { navigate } from '../shell/router.js'
import { text } from '../text/en.js'
import { Field } from '../ui/field.js'
import { certificateIn, MAX_FILE, sha256 } from './pem.js'

const t = text.lookup

/** A certificate by file, drop or paste. It stays here; its fingerprint is looked up. */
export const Drop = () => {
  const [over, setOver] = useState(false)
  const [error, setError] = useState('')
  const chooser = useRef<HTMLInputElement>(null)
  const read = async (bytes: Uint8Array): Promise<void> => {
    const der = certificateIn(bytes)
    if (typeof der === 'string') return setError(der)
    setError('')
    navigate(`/lookup?fingerprint=${await sha256(der)}`)
  }
  const take = async (data: DataTransfer | null): Promise<void> => {
    setOver(false)
    const file = data?.files[0]
    if (!file) return read(new TextEncoder().encode(data?.getData('text/plain') ?? ''))
    await readFile(file)
  }
  const readFile = async (file: File): Promise<void> => {
    if (file.size > MAX_FILE) return setError(t.tooLarge)
    await read(new Uint8Array(await file.arrayBuffer()))
  }
  return (
    <section
      class={`drop${over ? ' over' : ''}`}
      aria-label={t.file}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        void take(event.dataTransfer)
      }}
    >
      <h2>{t.file}</h2>
      <p>{t.fileHelp}</p>
      <input
        ref={chooser}
        class="hidden"
        type="file"
        tabIndex={-1}
        aria-label={t.choose}
        accept=".pem,.crt,.cer,.der"
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0]
          if (file) void readFile(file)
          currentTarget.value = ''
        }}
      />
      <button type="button" onClick={() => chooser.current?.click()}>
        {t.choose}
      </button>
      <p class="problem" role="alert">
        {error}
      </p>
      <details>
        <summary>{t.paste}</summary>
        <Paste read={read} />
      </details>
    </section>
  )
}

const Paste = ({ read }: { read: (bytes: Uint8Array) => Promise<void> }) => {
  const [value, setValue] = useState('')
  const submit = (event: Event) => {
    event.preventDefault()
    void read(new TextEncoder().encode(value))
  }
  return (
    <form onSubmit={submit}>
      <Field label={t.pasteLabel}>
        <textarea
          value={value}
          rows={6}
          onInput={({ currentTarget }) => setValue(currentTarget.value)}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder="-----BEGIN CERTIFICATE-----"
        />
      </Field>
      <button type="submit">{t.submit}</button>
    </form>
  )
}
