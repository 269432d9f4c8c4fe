/** The part of OpenAPI 3.1 that the CA's own document uses. */

export type Schema = {
  $ref?: string
  type?: string | string[]
  format?: string
  description?: string
  properties?: Record<string, Schema>
  items?: Schema
  enum?: unknown[]
  const?: unknown
  oneOf?: Schema[]
  anyOf?: Schema[]
  examples?: unknown[]
  example?: unknown
}

export type Parameter = { $ref?: string; name: string; in: string; description?: string; required?: boolean; schema?: Schema; example?: unknown }

export type Media = { schema?: Schema; example?: unknown; examples?: Record<string, { value: unknown }> }

export type Response = { $ref?: string; description?: string; content?: Record<string, Media> }

export type Operation = {
  summary?: string
  description?: string
  parameters?: Parameter[]
  responses?: Record<string, Response>
}

export type OpenApi = {
  info: { title: string; version: string; description?: string }
  paths: Record<string, { get?: Operation; parameters?: Parameter[] }>
  components?: Record<string, Record<string, unknown>>
}

/** What a `$ref` within the document points to; the thing itself where it is none. */
export const resolved = <T extends { $ref?: string }>(document: OpenApi, thing: T): T => {
  if (!thing.$ref?.startsWith('#/')) return thing
  let found: unknown = document
  for (const part of thing.$ref.slice(2).split('/'))
    found = (found as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')]
  return (found ?? thing) as T
}

/** A kind of value in a word or two. */
export const typeOf = (document: OpenApi, given: Schema): string => {
  const schema = resolved(document, given)
  const choices = schema.oneOf ?? schema.anyOf
  if (choices) return [...new Set(choices.map((one) => typeOf(document, one)))].join(' | ')
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.items) return `${typeOf(document, schema.items)}[]`
  const types = [schema.type ?? 'object'].flat().join(' | ')
  return schema.format ? `${types} (${schema.format})` : types
}

/** A value of a kind, of the examples that the document gives; what has none stands for itself. */
const sampleOf = (document: OpenApi, given: Schema): unknown => {
  const schema = resolved(document, given)
  const example = schema.example ?? schema.examples?.[0] ?? schema.const ?? schema.enum?.[0]
  if (example !== undefined) return example
  const choices = schema.oneOf ?? schema.anyOf
  if (choices) return sampleOf(document, choices.find(({ type }) => type !== 'null') ?? {})
  if (schema.properties) return Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, sampleOf(document, one)]))
  if (schema.items) return [sampleOf(document, schema.items)]
  const samples: Record<string, unknown> = { integer: 0, number: 0, boolean: false, null: null, object: {}, array: [] }
  const type = [schema.type ?? 'object'].flat()[0] ?? 'object'
  return type in samples ? samples[type] : '…'
}

/** An answer as the document gives it, or as its kind has it. */
export const answerOf = (document: OpenApi, media: Media): unknown =>
  media.example ?? Object.values(media.examples ?? {})[0]?.value ?? (media.schema && sampleOf(document, media.schema))

export type Member = { name: string; type: string; description: string | undefined }

/** The members of a kind of object and of those within it, by path: `names[].form`. */
export const membersOf = (document: OpenApi, given: Schema, path = ''): Member[] => {
  const schema = resolved(document, given)
  const choice = (schema.oneOf ?? schema.anyOf)?.find(({ type }) => type !== 'null')
  if (choice) return membersOf(document, choice, path)
  if (schema.items) return membersOf(document, schema.items, `${path}[]`)
  return Object.entries(schema.properties ?? {}).flatMap(([name, one]) => {
    const whole = path ? `${path}.${name}` : name
    return [{ name: whole, type: typeOf(document, one), description: resolved(document, one).description }, ...membersOf(document, one, whole)]
  })
}

const exampleIn = (parameter: Parameter): string => {
  const value = parameter.example ?? parameter.schema?.example ?? parameter.schema?.examples?.[0]
  return value === undefined ? '' : String(value)
}

/** A path that can be asked, with the examples of its parameters; null where one that it needs has none. */
export const tryPath = (path: string, parameters: Parameter[]): string | null => {
  if (parameters.some((one) => (one.required || one.in === 'path') && !exampleIn(one))) return null
  const filled = parameters
    .filter((one) => one.in === 'path')
    .reduce((text, one) => text.replace(`{${one.name}}`, encodeURIComponent(exampleIn(one))), path)
  const query = parameters.filter((one) => one.in === 'query' && exampleIn(one)).map((one) => `${one.name}=${encodeURIComponent(exampleIn(one))}`)
  return query.length > 0 ? `${filled}?${query.join('&')}` : filled
}
