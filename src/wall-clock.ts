import type { Clock } from './clock.js'

/** The wall clock: the only place where the time is read. */
export const wallClock: Clock = { now: () => Date.now() }
