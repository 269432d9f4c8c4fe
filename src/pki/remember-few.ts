const most = 16

/** `make`, with the results for the last few arguments kept: for times, of which the same few stand in all that is made within a second. */
export const rememberFew = <T>(make: (argument: number) => T): ((argument: number) => T) => {
  const made = new Map<number, T>()
  return (argument) => {
    const known = made.get(argument)
    if (known !== undefined) return known
    const result = make(argument)
    if (made.size >= most) made.clear()
    made.set(argument, result)
    return result
  }
}
