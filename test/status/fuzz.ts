/** Mutations of octets, for fuzzers. */

/** One to four changes: bits, octets, cuts, copies, deletions. `pick` gives a number below its argument. */
export const mutate = (bytes: Uint8Array, pick: (below: number) => number): Uint8Array => {
  let out = [...bytes]
  for (let changes = 1 + pick(4); changes > 0 && out.length > 0; changes--) {
    const at = pick(out.length)
    const kind = pick(5)
    if (kind === 0) out[at] = (out[at] as number) ^ (1 << pick(8))
    else if (kind === 1) out[at] = pick(256)
    else if (kind === 2) out = out.slice(0, at)
    else if (kind === 3) out.splice(at, 0, ...out.slice(pick(out.length)).slice(0, 40))
    else out.splice(at, 1 + pick(3))
  }
  return Uint8Array.from(out)
}
