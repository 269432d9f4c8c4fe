/** What a resource of the public JSON is. The table of them serves requests and makes the OpenAPI document, so that the two can't differ. */
import type { z } from 'zod'

/** What a request costs: `free` is held in memory, `light` reads the database, `heavy` asks others on the network, `probe` connects to servers that a stranger names. */
export type Weight = 'free' | 'light' | 'heavy' | 'probe'

export type Route = {
  /** Below the origin; parameters in braces: `/api/certificates/{serial}`. */
  path: string
  summary: string
  description: string
  /** One string each; those that the path does not name stand in the query. The messages go behind `The parameter "x" `. */
  parameters: z.ZodObject
  answer: z.ZodType
  weight: Weight
  /** Seconds for which a cache may give the answer; 0: not without asking; null: never. */
  maxAge: number | null
  /** Throws IcaError for what the client can put right. */
  handle(parameters: Record<string, unknown>): unknown
}

/** A route whose handler is held to the types of its parameters and its answer. */
export const route = <P extends z.ZodObject, A extends z.ZodType>(given: {
  path: string
  summary: string
  description: string
  parameters: P
  answer: A
  weight: Weight
  maxAge: number | null
  handle(parameters: z.output<P>): z.input<A> | Promise<z.input<A>>
}): Route => ({ ...given, handle: (parameters) => given.handle(parameters as z.output<P>) })
