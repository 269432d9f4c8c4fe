import type { ComponentChildren } from 'preact'
import { useJson } from '../shell/fetch.js'
import type { PageProps } from '../shell/pages.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { answerOf, type Media, membersOf, type OpenApi, type Operation, type Parameter, resolved, type Schema, tryPath, typeOf } from './openapi.js'

const t = text.api
const PATH = '/api/openapi.json'

export default function Page({ facts }: PageProps) {
  const answer = useJson<OpenApi>(PATH)
  return (
    <>
      <h1>{t.title}</h1>
      <p class="lead">{t.lead}</p>
      <p class="row">
        <a href={PATH}>{t.document}</a>
        <a href={facts.directory}>{t.acme}</a>
      </p>
      {answer.state === 'busy' && <Busy label={t.busy} />}
      {answer.state === 'failed' && (
        <Notice kind="bad">
          <p>{answer.error.message}</p>
        </Notice>
      )}
      {answer.state === 'there' &&
        Object.entries(answer.value.paths).map(
          ([path, { get, parameters }]) =>
            get && (
              <Shown
                key={path}
                document={answer.value}
                path={path}
                operation={{ ...get, parameters: [...(parameters ?? []), ...(get.parameters ?? [])] }}
              />
            ),
        )}
    </>
  )
}

/** `code` in descriptions; all else is text. */
const withCode = (description: string): ComponentChildren =>
  description.split('`').map((part, index) => (index % 2 === 1 ? <code key={part}>{part}</code> : part))

const Paragraphs = ({ of }: { of: string | undefined }) => (
  <>
    {of?.split(/\n{2,}/).map((part) => (
      <p key={part}>{withCode(part)}</p>
    ))}
  </>
)

const Shown = ({ document, path, operation }: { document: OpenApi; path: string; operation: Operation }) => {
  const parameters = (operation.parameters ?? []).map((one) => resolved(document, one))
  const href = tryPath(path, parameters)
  return (
    <section class="operation">
      <h2>GET {path}</h2>
      {operation.summary && (
        <p>
          <strong>{withCode(operation.summary)}</strong>
        </p>
      )}
      <Paragraphs of={operation.description} />
      {parameters.length > 0 && <Parameters document={document} parameters={parameters} />}
      <Answers document={document} operation={operation} />
      {href && (
        <p>
          <a class="button" href={href} target="_blank" rel="noopener" aria-label={t.tryLabel(path)}>
            {t.tryIt}
          </a>
        </p>
      )}
    </section>
  )
}

type Row = { name: string; type: string; meaning: string | undefined }

const Table = ({ head, rows }: { head: string; rows: Row[] }) => (
  <table class="cards">
    <thead>
      <tr>
        <th scope="col">{head}</th>
        <th scope="col">{t.type}</th>
        <th scope="col">{t.meaning}</th>
      </tr>
    </thead>
    <tbody>
      {rows.map(({ name, type, meaning }) => (
        <tr key={name}>
          <td>
            <code>{name}</code>
          </td>
          <td>{type}</td>
          <td>{withCode(meaning ?? '')}</td>
        </tr>
      ))}
    </tbody>
  </table>
)

const Parameters = ({ document, parameters }: { document: OpenApi; parameters: Parameter[] }) => (
  <Table
    head={t.parameter}
    rows={parameters.map((one) => ({
      name: one.name,
      type: `${one.schema ? typeOf(document, one.schema) : 'string'}, ${one.required ? t.required : t.optional}`,
      meaning: one.description,
    }))}
  />
)

const Answers = ({ document, operation }: { document: OpenApi; operation: Operation }) => {
  const responses = Object.entries(operation.responses ?? {}).map(([status, given]) => ({ status, ...resolved(document, given) }))
  const good = responses.find(({ status }) => status.startsWith('2'))
  const media = Object.values(good?.content ?? {})[0]
  const refusals = responses.filter((one) => one !== good)
  return (
    <details>
      <summary>{t.members}</summary>
      {media?.schema && <Good document={document} media={media} schema={media.schema} />}
      <dl>
        {refusals.map(({ status, description }) => (
          <div key={status}>
            <dt>{status}</dt>
            <dd>{withCode(description ?? '')}</dd>
          </div>
        ))}
      </dl>
    </details>
  )
}

const Good = ({ document, media, schema }: { document: OpenApi; media: Media; schema: Schema }) => (
  <>
    <Table head={t.member} rows={membersOf(document, schema).map(({ name, type, description }) => ({ name, type, meaning: description }))} />
    <Copy label={t.sample} value={JSON.stringify(answerOf(document, media), null, 2)} />
  </>
)
