/** Orders (RFC 8555 §7.1.3) and how one request at a time gets to finish them. */
import { IcaError, type Problem } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type { AuditEntry, Authorization, CertificateReservation, Order } from '../model.js'
import { reserve } from './certificates.js'
import { type Charge, spend } from './limits.js'
import {
  type AuthorizationRow,
  challengeColumns,
  inOrder,
  type OrderRow,
  record,
  selectAuthorization,
  selectOrder,
  toAuthorizations,
  toOrders,
} from './rows.js'
import { change, ifDone, insert, lock, must, notDone, put, type Runner, rows, type Steps } from './sql.js'

const selectOrderById = `${selectOrder} WHERE o.id = ? ${inOrder.orders}`

/**
 * The account's longest-lived authorization for a name that is validated by one of `types` (any, without) and neither deactivated nor expiring before
 * `usableUntil`.
 */
function* findReusable(
  accountId: string,
  identifier: Identifier,
  wildcard: boolean,
  usableUntil: number,
  types: readonly string[] | undefined,
): Steps<Authorization[]> {
  const byType = types ? `AND v.type IN (${types.map(() => '?').join()})` : ''
  return toAuthorizations(
    yield* rows<AuthorizationRow>(
      `${selectAuthorization} WHERE z.id = (
         SELECT y.id FROM "authorization" y
         WHERE y.account_id = ? AND y.identifier_value = ? AND y.expires_at > ? AND y.identifier_type = ? AND y.wildcard = ? AND y.deactivated_at IS NULL
           AND EXISTS (SELECT 1 FROM challenge v WHERE v.authorization_id = y.id AND v.status = 'valid' ${byType})
           AND NOT EXISTS (SELECT 1 FROM challenge i WHERE i.authorization_id = y.id AND i.status = 'invalid')
         ORDER BY y.expires_at DESC LIMIT 1) ${inOrder.authorizations}`,
      accountId,
      identifier.value,
      usableUntil,
      identifier.type,
      wildcard,
      ...(types ?? []),
    ),
  )
}

function* insertOrder(order: Order): Steps<void> {
  yield* put(
    `INSERT INTO "order" (id, account_id, profile, identifiers, not_before, not_after, created_at, expires_at, claimed_at, csr, certificate_serial, error, replaces)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    order.id,
    order.accountId,
    order.profile,
    JSON.stringify(order.identifiers),
    order.notBefore,
    order.notAfter,
    order.createdAt,
    order.expiresAt,
    order.claimedAt,
    order.csr,
    order.certificateSerial,
    order.error && JSON.stringify(order.error),
    order.replaces,
  )
}

function* insertAuthorizations(authorizations: readonly Authorization[]): Steps<void> {
  yield* insert(
    'authorization',
    ['id', 'account_id', 'identifier_type', 'identifier_value', 'wildcard', 'created_at', 'expires_at', 'deactivated_at'],
    authorizations.map((z) => [z.id, z.accountId, z.identifier.type, z.identifier.value, z.wildcard, z.createdAt, z.expiresAt, z.deactivatedAt]),
  )
  yield* insert(
    'challenge',
    challengeColumns,
    authorizations.flatMap(({ challenges }) =>
      challenges.map((c) => [
        c.id,
        c.authorizationId,
        c.type,
        c.token,
        c.status,
        c.validatedAt,
        c.error && JSON.stringify(c.error),
        c.attempts,
        c.nextAttemptAt,
      ]),
    ),
  )
}

/** RFC 9773 §5: one certificate, one order that replaces it. Two orders that come at once take turns. */
function* checkReplaces(certificate: string, isTaken: (other: Order) => boolean): Steps<void> {
  yield* lock('SELECT pg_advisory_xact_lock(hashtextextended(?, 0))', certificate)
  const others = toOrders(yield* rows<OrderRow>(`${selectOrder} WHERE o.replaces = ? ${inOrder.orders}`, certificate))
  if (others.some(isTaken))
    throw new IcaError('alreadyReplaced', 'Another order replaces this certificate already. Finish that one, or order without "replaces".')
}

/** What a new order depends on besides itself. */
export type OrderConditions = {
  charges?: readonly Charge[]
  /** Whether an order that replaces the same certificate keeps others from doing so. */
  isTaken?: (other: Order) => boolean
}

export const orderStore = ({ read, write, precede, writeOne }: Runner) => ({
  /**
   * Authorizations of the account that can serve a new order for `wanted` (identifiers without their wildcard label): at most one each, and only such
   * as are validated (by a challenge of one of `types`, where given), have no failed challenge, are not deactivated and expire after `usableUntil`;
   * where there are several, the one that lives longest.
   */
  reusableAuthorizations: (
    accountId: string,
    wanted: readonly { identifier: Identifier; wildcard: boolean }[],
    usableUntil: number,
    types?: readonly string[],
  ): Promise<Authorization[]> =>
    read(function* () {
      const found: Authorization[] = []
      for (const { identifier, wildcard } of wanted) found.push(...(yield* findReusable(accountId, identifier, wildcard, usableUntil, types)))
      return found
    }),

  /** Stores an authorization that belongs to no order yet, with its challenges (RFC 8555 §7.4.1). */
  createAuthorization: (authorization: Authorization, audit: AuditEntry, charges: readonly Charge[] = []): Promise<void> =>
    write(function* () {
      yield* insertAuthorizations([authorization])
      yield* record(audit)
      yield* spend(charges, authorization.createdAt)
    }),

  /**
   * Stores the order, its new authorizations with their challenges, and its links to all of its authorizations; those in `reusedIds` exist already.
   * Counts the order against `charges`. Rejects with alreadyReplaced where it replaces a certificate that `isTaken` says another order replaces, and
   * with {@link LimitExceeded}.
   */
  createOrder: (
    order: Order,
    reusedIds: readonly string[],
    audit: AuditEntry,
    { charges = [], isTaken = () => true }: OrderConditions = {},
  ): Promise<void> =>
    write(function* () {
      if (order.replaces !== null) yield* checkReplaces(order.replaces, isTaken)
      yield* insertOrder(order)
      yield* insertAuthorizations(order.authorizations.filter(({ id }) => !reusedIds.includes(id)))
      const linked = new Set([...order.authorizations.map(({ id }) => id), ...reusedIds])
      yield* insert(
        'order_authorization',
        ['order_id', 'authorization_id', 'position'],
        [...linked].map((id, position) => [order.id, id, position]),
      )
      yield* record(audit)
      yield* spend(charges, order.createdAt)
    }),

  orderById: (id: string): Promise<Order | null> =>
    read(function* () {
      return toOrders(yield* rows<OrderRow>(selectOrderById, id))[0] ?? null
    }),

  /**
   * The claim of finalize: claimedAt null → `at`, with the CSR; only where neither a claim, an error nor a certificate is there. False where another
   * request was first. With a reservation the serial is stored in the same transaction (and only if the claim succeeds). Counts against `charges`;
   * rejects with {@link LimitExceeded}. Nobody may be told of the claim: the certificate or the error that it leads to is what makes it durable.
   */
  claimOrder: (
    id: string,
    at: number,
    csr: Uint8Array,
    audit: AuditEntry,
    reservation?: CertificateReservation,
    charges: readonly Charge[] = [],
  ): Promise<boolean> =>
    ifDone(
      precede(function* () {
        yield* must(
          notDone,
          `UPDATE "order" SET claimed_at = ?, csr = ? WHERE id = ? AND claimed_at IS NULL AND error IS NULL AND certificate_serial IS NULL`,
          at,
          csr,
          id,
        )
        if (reservation) yield* reserve(reservation)
        yield* record(audit)
        yield* spend(charges, at)
      }),
    ),

  /** Orders claimed before `claimedBefore` (ms) that have neither certificate nor error, oldest first: something crashed in between. */
  stalledOrders: (claimedBefore: number, limit: number): Promise<Order[]> =>
    read(function* () {
      return toOrders(
        yield* rows<OrderRow>(
          `${selectOrder} WHERE o.id IN (
             SELECT s.id FROM "order" s WHERE s.claimed_at < ? AND s.claimed_at IS NOT NULL AND s.certificate_serial IS NULL AND s.error IS NULL
             ORDER BY s.claimed_at LIMIT ?) ${inOrder.orders}`,
          claimedBefore,
          limit,
        ),
      )
    }),

  /** Takes over a stalled order; false where its claim is not `previousClaim` any more or it is finished. */
  reclaimOrder: (id: string, previousClaim: number, at: number): Promise<boolean> =>
    writeOne(function* () {
      const claimed = yield* change(
        `UPDATE "order" SET claimed_at = ? WHERE id = ? AND claimed_at = ? AND error IS NULL AND certificate_serial IS NULL`,
        at,
        id,
        previousClaim,
      )
      return claimed === 1
    }),

  /** Sets the error of an order that has neither one nor a certificate; false otherwise. */
  failOrder: (id: string, problem: Problem, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* must(
          notDone,
          `UPDATE "order" SET error = ? WHERE id = ? AND error IS NULL AND certificate_serial IS NULL`,
          JSON.stringify(problem),
          id,
        )
        yield* record(audit)
      }),
    ),
})
