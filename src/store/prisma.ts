/**
 * Prisma for what is read now and then: lists, the audit log, look-ups of an operator. Its client takes a while to load, so it is loaded when first
 * asked.
 */
import type { AuditEntry, Certificate, CertificateKind, CertificateName } from '../model.js'
import type { PrismaClient, Prisma as Schema } from './generated/sqlite/client.js'
import { bytes, toReason } from './rows.js'
import { asStoreError } from './unavailable.js'

export type { PrismaClient }

/** Where the database is; for PostgreSQL with the schema whose tables are meant. */
export type PrismaTarget = { engine: 'sqlite'; file: string } | { engine: 'postgresql'; connectionString: string; schema: string | undefined }

const connect = async (target: PrismaTarget): Promise<PrismaClient> => {
  if (target.engine === 'sqlite') {
    const [{ PrismaClient }, { PrismaLibSql }] = await Promise.all([import('./generated/sqlite/client.js'), import('@prisma/adapter-libsql')])
    // Connections of @libsql/client have SQLite's defaults: synchronous FULL, foreign keys on, and no waiting. They only ever read here, and in WAL
    // mode a reader need not wait.
    return new PrismaClient({ adapter: new PrismaLibSql({ url: `file:${target.file}`, timeout: 1000 }) })
  }
  const [{ PrismaClient }, { PrismaPg }] = await Promise.all([import('./generated/postgresql/client.js'), import('@prisma/adapter-pg')])
  const { connectionString, schema } = target
  const adapter = new PrismaPg({ connectionString, max: 4, connectionTimeoutMillis: 5000 }, schema === undefined ? undefined : { schema })
  // The same model, so the same client but for the width of two counters: these are made numbers below.
  return new PrismaClient({ adapter }) as unknown as PrismaClient
}

/** A way to ask Prisma. */
export type Prisma = ReturnType<typeof lazyPrisma>

/** A client that is loaded when first asked. `durable` resolves when what can be read by now is on disk. */
export const lazyPrisma = (target: PrismaTarget, durable: () => Promise<void>) => {
  let client: Promise<PrismaClient> | undefined
  return {
    /** Runs queries that only read. */
    async ask<T>(question: (prisma: PrismaClient) => Promise<T>): Promise<T> {
      client ??= connect(target).catch((error: unknown) => {
        client = undefined
        throw error
      })
      try {
        const answer = await question(await client)
        await durable()
        return answer
      } catch (error) {
        throw asStoreError(error)
      }
    },
    async close(): Promise<void> {
      await (await client)?.$disconnect()
    },
  }
}

/** The longest list in one go: what belongs to its rows is looked up by a list of keys, and engines bound that. */
const longest = 500
const atMost = (limit: number): number => Math.min(limit, longest)

const include = { names: { orderBy: [{ form: 'asc' }, { value: 'asc' }] }, revocation: true } satisfies Schema.CertificateInclude
const newestFirst = [{ createdAt: 'desc' }, { serial: 'desc' }] satisfies Schema.CertificateOrderByWithRelationInput[]

const toCertificate = (r: Schema.CertificateGetPayload<{ include: typeof include }>): Certificate => ({
  serial: r.serial,
  issuerId: r.issuerId,
  kind: r.kind as CertificateKind,
  profile: r.profile,
  accountId: r.accountId,
  orderId: r.orderId,
  keyId: r.keyId,
  crlShard: r.crlShard,
  notBefore: Number(r.notBefore),
  notAfter: Number(r.notAfter),
  createdAt: Number(r.createdAt),
  der: bytes(r.der ?? new Uint8Array()),
  names: r.names.map(({ form, value }) => ({ form, value }) as CertificateName),
  revocation: r.revocation && { revokedAt: Number(r.revocation.revokedAt), reason: toReason(r.revocation.reason) },
})

/** Lists of at most 500 rows at a time, whatever `limit` says. */
export const listStore = ({ ask }: Prisma) => ({
  /** Ids of the account's orders, newest first; `before` is the `next` of the previous page (RFC 8555 §7.1.2.1). */
  ordersOfAccount: (accountId: string, before: string | null, limit: number): Promise<{ ids: string[]; next: string | null }> =>
    ask(async (prisma) => {
      const found = await prisma.order.findMany({
        where: { accountId },
        orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
        take: atMost(limit) + 1,
        ...(before !== null && { cursor: { id: before, accountId }, skip: 1 }),
        select: { id: true },
      })
      const ids = found.slice(0, atMost(limit)).map(({ id }) => id)
      return { ids, next: found.length > ids.length ? (ids.at(-1) ?? null) : null }
    }),

  /** Certificates, newest first; `before` is the serial of the previous page's last one. */
  listCertificates: (filter: {
    revoked?: boolean
    expired?: { at: number; is: boolean }
    kind?: CertificateKind
    before?: string | null
    limit: number
  }): Promise<Certificate[]> =>
    ask(async (prisma) => {
      const { revoked, expired, kind, before, limit } = filter
      const where = {
        der: { not: null },
        ...(kind !== undefined && { kind }),
        ...(revoked !== undefined && { revocation: revoked ? { isNot: null } : { is: null } }),
        ...(expired && { notAfter: expired.is ? { lt: expired.at } : { gte: expired.at } }),
      }
      const found = await prisma.certificate.findMany({
        where,
        orderBy: newestFirst,
        take: atMost(limit),
        ...(typeof before === 'string' && { cursor: { serial: before }, skip: 1 }),
        include,
      })
      return found.map(toCertificate)
    }),

  /** The audit log, newest first; `before` is the id of the previous page's last row, `subject` e.g. `order:<id>`. */
  auditLog: (filter: { subject?: string; before?: number; limit: number }): Promise<(AuditEntry & { id: number })[]> =>
    ask(async (prisma) => {
      const { subject, before, limit } = filter
      const where = { ...(subject !== undefined && { subject }), ...(before !== undefined && { id: { lt: before } }) }
      return (await prisma.audit.findMany({ where, orderBy: { id: 'desc' }, take: atMost(limit) })).map((r) => ({
        id: Number(r.id),
        at: Number(r.at),
        actor: r.actor,
        action: r.action,
        subject: r.subject,
        detail: JSON.parse(r.detail),
        ...(r.address !== null && { address: r.address }),
        ...(r.requestId !== null && { requestId: r.requestId }),
      }))
    }),
})
