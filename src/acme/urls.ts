/** Where every resource is (RFC 8555 §7.1). Clients take these strings as they are; a request is compared with them letter by letter (§6.4). */
export type Urls = ReturnType<typeof createUrls>

/**
 * @param baseUrl what the outside sees, without a final slash; the router is mounted at `/acme` below it
 * @param account the URL of an account, which the pipeline needs too (RFC 8657 `accounturi`)
 */
export const createUrls = (baseUrl: string, account: (id: string) => string) => {
  const root = `${baseUrl}/acme`
  return {
    root,
    directory: `${root}/directory`,
    newNonce: `${root}/new-nonce`,
    newAccount: `${root}/new-account`,
    newAuthz: `${root}/new-authz`,
    newOrder: `${root}/new-order`,
    revokeCert: `${root}/revoke-cert`,
    keyChange: `${root}/key-change`,
    /** RFC 9773 §4.1: the identifier of a certificate follows after a slash. */
    renewalInfo: `${root}/renewal-info`,
    account,
    orders: (accountId: string) => `${account(accountId)}/orders`,
    order: (id: string) => `${root}/order/${id}`,
    finalize: (orderId: string) => `${root}/order/${orderId}/finalize`,
    authorization: (id: string) => `${root}/authz/${id}`,
    challenge: (id: string) => `${root}/chall/${id}`,
    /** `chain` 0 is the default chain, the others are its alternates. */
    certificate: (serial: string, chain = 0) => `${root}/cert/${serial}${chain === 0 ? '' : `/${chain}`}`,
  }
}

/** What stands for an id in a URL. Checked before the database sees it. */
export const isId = (text: string): boolean => /^[0-9A-Za-z_-]{1,64}$/.test(text)
