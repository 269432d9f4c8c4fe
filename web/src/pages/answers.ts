/** The public JSON as the pages read it: the types of what the API serves. Types only, so that nothing of it is in the page. */
import type { z } from 'zod'
import type * as schemas from '../../../src/api/schemas.js'

export type Statistics = z.output<typeof schemas.statistics>
export type Summary = z.output<typeof schemas.certificateSummary>
export type CertificateList = z.output<typeof schemas.certificatePage>
export type Certificate = z.output<typeof schemas.certificate>
