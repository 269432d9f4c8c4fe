/** Orders by the account that this browser keeps. */
import type { AcmeClient, NewAccount } from '../acme/client.js'
import { isAcmeError } from '../acme/problem.js'
import { exclusively, forgetAccount, readAccount, saveAccount } from '../store.js'
import type { Draft } from './draft.js'
import { ensureAccount, placeOrder } from './flow.js'

/** Places the order with the account of this browser; makes another where the CA no longer knows it. */
export const order = async (client: AcmeClient, draft: Draft, request: NewAccount): Promise<Draft> =>
  exclusively('account', async () => {
    const keeper = { readAccount, saveAccount }
    const place = async (by: NewAccount) => placeOrder(client, await ensureAccount(client, keeper, by), draft)
    return place(request).catch(async (error: unknown) => {
      if (!isAcmeError(error, 'accountDoesNotExist')) throw error
      const contact = (await readAccount())?.contact ?? []
      await forgetAccount()
      return place({ contact, ...request })
    })
  })
