/** A document of `docs/servers` in pieces (documents.ts); null where there is none. */
declare module 'virtual:guide/*' {
  const blocks: ({ html: string } | { code: string; language: string })[] | null
  export default blocks
}
