/** What the page makes of the API's own description: something to look at and to try for every path. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerOf, membersOf, type OpenApi, type Schema, tryPath } from '../../web/src/pages/openapi.js'

const summary: Schema = { type: 'object', properties: { at: { type: 'string', format: 'date-time', examples: ['2026-01-01T00:00:00Z'] } } }
const document: OpenApi = { info: { title: 'x', version: '1' }, paths: {}, components: { schemas: { Summary: summary as Record<string, unknown> } } }
const answer: Schema = {
  type: 'object',
  properties: {
    list: { type: 'array', items: { $ref: '#/components/schemas/Summary' } },
    state: { enum: ['good', 'revoked'] },
    next: { anyOf: [{ type: 'object', properties: { count: { type: 'integer', description: 'how many' } } }, { type: 'null' }] },
  },
}

describe('the description of the API', () => {
  it('gives a sample where the document has none', () => {
    assert.deepEqual(answerOf(document, { schema: answer }), { list: [{ at: '2026-01-01T00:00:00Z' }], state: 'good', next: { count: 0 } })
    assert.deepEqual(answerOf(document, { schema: answer, example: 1 }), 1)
  })

  it('names the members, those within others by their path', () => {
    assert.deepEqual(
      membersOf(document, answer).map(({ name, type }) => [name, type]),
      [
        ['list', 'object[]'],
        ['list[].at', 'string (date-time)'],
        ['state', '"good" | "revoked"'],
        ['next', 'object | null'],
        ['next.count', 'integer'],
      ],
    )
  })

  for (const [path, parameters, expected] of [
    ['/api/ca', [], '/api/ca'],
    ['/api/c/{serial}', [{ name: 'serial', in: 'path', required: true, schema: { examples: ['a/b'] } }], '/api/c/a%2Fb'],
    ['/api/c/{serial}', [{ name: 'serial', in: 'path', required: true }], null],
    [
      '/api/c',
      [
        { name: 'domain', in: 'query', schema: { examples: ['example.org'] } },
        { name: 'cursor', in: 'query' },
      ],
      '/api/c?domain=example.org',
    ],
  ] as const) {
    it(`${path} with ${parameters.length} parameters is tried as ${expected}`, () =>
      assert.equal(tryPath(path, structuredClone(parameters) as never), expected))
  }
})
