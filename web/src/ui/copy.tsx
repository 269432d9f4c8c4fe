import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { text } from '../text/en.js'

const SHOWN_MS = 2000

/**
 * Text to be taken elsewhere, character by character: a value, a record, command lines. `label` says what it is, above it and to screen readers. `children` are shown
 * in place of the value where it is for eyes in another form.
 */
export const Copy = ({ value, label, children }: { value: string; label: string; children?: ComponentChildren }) => {
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (!said) return
    const timer = setTimeout(() => setSaid(''), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [said])
  const copy = () =>
    // There is no clipboard on a page that came by plain http from elsewhere.
    (navigator.clipboard?.writeText(value) ?? Promise.reject(new Error('no clipboard'))).then(
      () => setSaid(text.ui.copied),
      () => setSaid(text.ui.copyByHand),
    )
  return (
    <figure class="copy">
      <figcaption>
        <span>{label}</span>
        <button type="button" class="small" onClick={copy} aria-label={text.ui.copyLabel(label)}>
          {said || text.ui.copy}
        </button>
      </figcaption>
      {children ?? (
        <pre>
          <code>{value}</code>
        </pre>
      )}
      <output>{said}</output>
    </figure>
  )
}
