/** A text area that takes a file as well: chosen, or dropped on it. Made to be the child of a Field. */
import { useState } from 'preact/hooks'
import { mineText as text } from '../text/en-mine.js'

type PemFieldProps = {
  name: string
  bytes: Uint8Array
  onBytes: (bytes: Uint8Array<ArrayBuffer>) => void
  /** Set by the Field around it. */
  id?: string
  'aria-describedby'?: string
  'aria-invalid'?: 'true' | undefined
}

const longest = 64 * 1024

export const PemField = ({ name, bytes, onBytes, ...field }: PemFieldProps) => {
  const [note, setNote] = useState('')
  const take = async (file: File | undefined) => {
    if (!file) return
    const fits = file.size <= longest
    setNote(fits ? text.key.fileTaken(file.name) : text.key.fileTooLarge(file.name))
    onBytes(fits ? new Uint8Array(await file.arrayBuffer()) : new Uint8Array())
  }
  // DER has no text to show.
  const shown = bytes[0] === 0x30 ? '' : new TextDecoder().decode(bytes)
  return (
    <>
      <textarea
        {...field}
        name={name}
        value={shown}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => {
          setNote('')
          onBytes(new TextEncoder().encode(event.currentTarget.value))
        }}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault()
          void take(event.dataTransfer?.files[0])
        }}
      />
      <label>
        <small>{text.key.file}</small> <input type="file" name={`${name}File`} onChange={(event) => void take(event.currentTarget.files?.[0])} />
      </label>
      <small role="status">{note}</small>
    </>
  )
}
