import { text } from '../text/en.js'

export type Name = { form: string; value: string }

/** Those that everybody knows come first. */
const order = ['dNSName', 'SRVName', 'XmppAddr']
const rankOf = (form: string): number => (order.includes(form) ? order.indexOf(form) : order.length)

/** The names of a certificate by form. */
export const Names = ({ names }: { names: Name[] }) => {
  const forms = [...new Set(names.map(({ form }) => form))].sort((a, b) => rankOf(a) - rankOf(b))
  return (
    <dl class="names">
      {forms.map((form) => (
        <div key={form}>
          <dt>
            {form}
            {form in text.ui.nameForms && <small> {text.ui.nameForms[form as keyof typeof text.ui.nameForms]}</small>}
          </dt>
          {names
            .filter((name) => name.form === form)
            .map(({ value }) => (
              <dd key={value}>
                <code>{value}</code>
              </dd>
            ))}
        </div>
      ))}
    </dl>
  )
}
