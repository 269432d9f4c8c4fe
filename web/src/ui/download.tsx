import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'

type DownloadProps = { name: string; type: string; bytes: Uint8Array | string; children?: ComponentChildren }

/** A link that saves bytes of this page as a file; nothing goes to the server. `name` is the file's name, `type` its media type. */
export const Download = ({ name, type, bytes, children }: DownloadProps) => {
  const [url, setUrl] = useState<string>()
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([bytes as BlobPart], { type }))
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [bytes, type])
  return (
    <a class="button" href={url} download={name}>
      {children ?? name}
    </a>
  )
}
