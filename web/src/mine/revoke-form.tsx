/** Asks for the reason of a revocation. */
import { useState } from 'preact/hooks'
import { type RevocationCode, revocationCodes } from '../acme/client.js'
import { sentenceOf, useAction } from '../request/hooks.js'
import { mineText as text } from '../text/en-mine.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'

type RevokeFormProps = { name: string; onRevoke: (reason: RevocationCode) => Promise<void>; onCancel: () => void }

export const RevokeForm = ({ name, onRevoke, onCancel }: RevokeFormProps) => {
  const [reason, setReason] = useState<RevocationCode>('superseded')
  const { busy, error, run } = useAction()
  const submit = (event: Event) => {
    event.preventDefault()
    run(() => onRevoke(reason))
  }
  return (
    <form onSubmit={submit}>
      <h3>{text.revokeTitle(name)}</h3>
      <p>{text.revokeLead}</p>
      <Field label={text.reason}>
        <select name="reason" value={reason} onChange={(event) => setReason(event.currentTarget.value as RevocationCode)}>
          {Object.keys(text.reasons)
            .filter((code) => code in revocationCodes)
            .map((code) => (
              <option key={code} value={code}>
                {text.reasons[code]}
              </option>
            ))}
        </select>
      </Field>
      {error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error)}</p>
        </Notice>
      )}
      <p class="row">
        <button type="submit" disabled={busy}>
          {text.revokeNow}
        </button>
        <button type="button" onClick={onCancel}>
          {text.cancel}
        </button>
      </p>
    </form>
  )
}
