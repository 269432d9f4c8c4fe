/** The first address among the contacts of an account; empty where there is none. */
export const mailOf = (contact: readonly string[]): string => contact.find((url) => /^mailto:/i.test(url))?.slice('mailto:'.length) ?? ''
