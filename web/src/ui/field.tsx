import { type ComponentChildren, cloneElement, type VNode } from 'preact'
import { useId } from 'preact/hooks'

type FieldProps = { label: string; help?: ComponentChildren; error?: string | null | undefined; children: VNode }

/**
 * A label, its control, what to know and what is wrong, tied together for screen readers. The control is the one child (input, select, textarea); its id and
 * aria attributes are set here. The error has its room whether there is one or not, so that nothing moves when it comes.
 */
export const Field = ({ label, help, error, children }: FieldProps) => {
  const id = useId()
  const described = [help && `${id}-help`, `${id}-error`].filter(Boolean).join(' ')
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {help && <small id={`${id}-help`}>{help}</small>}
      {cloneElement(children, { id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined })}
      <small id={`${id}-error`} class="error" aria-live="polite">
        {error}
      </small>
    </div>
  )
}
