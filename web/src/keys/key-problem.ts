/** What is wrong with a key that somebody gave, by the sentence that says so (text/en-request.ts). */
export class KeyProblem extends Error {
  readonly reason: 'noKey' | 'encrypted' | 'kind' | 'broken'
  constructor(reason: KeyProblem['reason'], cause?: unknown) {
    super(reason, { cause })
    this.reason = reason
  }
}
