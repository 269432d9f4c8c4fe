/** The OpenAPI 3.1 document of the public JSON, made of the routes that serve it. */
import { z } from 'zod'
import type { Route } from './route.js'
import { problem } from './schemas.js'

type Json = Record<string, unknown>

/** JSON Schema 2020-12 (that of OpenAPI 3.1) of what comes in, or of what goes out. */
const schemaOf = (schema: z.ZodType): Json => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json
  return rest
}

const isInPath = ({ path }: Route, name: string): boolean => path.includes(`{${name}}`)

const parametersOf = (of: Route): Json[] =>
  Object.entries(of.parameters.shape as Record<string, z.ZodType>).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema)
    return {
      name,
      in: isInPath(of, name) ? 'path' : 'query',
      required: isInPath(of, name) || !schema.safeParse(undefined).success,
      ...(description !== undefined && { description }),
      schema: rest,
    }
  })

const refusals: Record<string, string> = {
  400: 'A parameter is missing, unknown, given twice or not what it should be.',
  404: 'There is no such thing.',
  429: 'Too many questions from one address; `Retry-After` says when to ask again.',
  503: 'The CA can’t answer now; `Retry-After` says when to ask again.',
}

const operationOf = (of: Route): Json => {
  const refused = Object.keys(refusals).filter((status) => of.weight !== 'free' && (status !== '404' || of.path.includes('{')))
  return {
    summary: of.summary,
    description: of.description,
    parameters: parametersOf(of),
    responses: {
      200: { description: of.summary, content: { 'application/json': { schema: schemaOf(of.answer) } } },
      ...Object.fromEntries(refused.map((status) => [status, { $ref: `#/components/responses/${status}` }])),
    },
  }
}

/** @param server the origin */
export const openApiOf = (routes: readonly Route[], { title, version, server }: { title: string; version: string; server: string }): Json => ({
  openapi: '3.1.0',
  info: {
    title,
    version,
    description:
      'What anybody may know of this CA, read only. Certificates are ordered by ACME (RFC 8555), not here. Times are RFC 3339 in UTC. Any origin may read; errors are problem ' +
      'documents (RFC 9457).',
  },
  servers: [{ url: server }],
  paths: Object.fromEntries(routes.map((of) => [of.path, { get: operationOf(of) }])),
  components: {
    schemas: { Problem: schemaOf(problem) },
    responses: Object.fromEntries(
      Object.entries(refusals).map(([status, description]) => [
        status,
        { description, content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
      ]),
    ),
  },
})
