import { useEffect, useState } from 'preact/hooks'

const SHOWN_MS = 2000

/** Command lines with a button that copies them. */
export const Command = ({ title, lines }: { title: string; lines: string[] }) => {
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (!said) return
    const timer = setTimeout(() => setSaid(''), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [said])
  const text = lines.join('\n')
  const copy = () =>
    // There is no clipboard on a page that came by plain http from elsewhere.
    (navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'))).then(
      () => setSaid('Copied'),
      () => setSaid('Select and copy it'),
    )
  return (
    <figure>
      <figcaption>
        {title}
        <button type="button" onClick={copy} aria-label={`Copy the ${title} command`}>
          {said || 'Copy'}
        </button>
      </figcaption>
      <pre>
        <code>{text}</code>
      </pre>
      <output aria-live="polite">{said}</output>
    </figure>
  )
}
