/** How far long work is, for those who wait for it. */
import { stderr } from 'node:process'

export type Progress = {
  /** Call it as often as there is something new. */
  show(text: () => string): void
  /** Leaves the line to others. */
  end(): void
}

/** At a terminal one line that is written over; elsewhere lines, of which a log should not have many. */
const pauseMs = { terminal: 1000, elsewhere: 10_000 }

/** Says nothing of what is done sooner than a line is due. `to` and `now` are for tests. */
export const createProgress = (to: { isTTY?: boolean; write(text: string): unknown } = stderr, now = (): number => performance.now()): Progress => {
  const pause = to.isTTY ? pauseMs.terminal : pauseMs.elsewhere
  let due = now() + pause
  let stands = false
  return {
    show: (text) => {
      if (now() < due) return
      due = now() + pause
      stands = to.isTTY === true
      to.write(to.isTTY ? `\r\x1b[K${text()}` : `${text()}\n`)
    },
    end: () => {
      if (stands) to.write('\r\x1b[K')
      stands = false
    },
  }
}
