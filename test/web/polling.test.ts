/** Looking again and again: one round at a time, none while nobody looks, and none after the end. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startPolling } from '../../web/src/request/polling.js'

/** A page that somebody leaves and comes back to, and work that ends when it is told to. */
const stage = () => {
  const listeners = new Set<() => void>()
  let hidden = false
  const open: ((wait: number | null) => void)[] = []
  const signals: AbortSignal[] = []
  const stop = startPolling(
    (signal) => {
      signals.push(signal)
      return new Promise((resolve) => open.push(resolve))
    },
    {
      hidden: () => hidden,
      listen: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
  )
  const show = (shown: boolean) => {
    hidden = !shown
    for (const listener of [...listeners]) listener()
  }
  return { stop, show, open, signals, listeners }
}
const later = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms))

describe('polling', () => {
  it('never has two rounds at once, however often somebody comes back', async (t) => {
    const { stop, show, open } = stage()
    t.after(stop)
    for (let i = 0; i < 5; i++) {
      show(false)
      show(true)
    }
    await later()
    assert.equal(open.length, 1)
    open[0]?.(0)
    await later()
    assert.equal(open.length, 2)
    // Whoever comes back during a wait makes one round, not one more chain of them.
    open[1]?.(30)
    await later(5)
    show(true)
    show(true)
    await later(60)
    assert.equal(open.length, 3)
  })

  it('rests while nobody looks, and looks at once when somebody comes back', async (t) => {
    const { stop, show, open } = stage()
    t.after(stop)
    show(false)
    open[0]?.(0)
    await later()
    assert.equal(open.length, 1)
    show(true)
    assert.equal(open.length, 2)
  })

  it('ends when there is nothing more to see, and when it is stopped', async () => {
    const [ended, stopped] = [stage(), stage()]
    ended.open[0]?.(null)
    await later()
    ended.show(true)
    assert.equal(ended.open.length, 1)
    ended.stop()
    stopped.stop()
    assert.equal(stopped.signals[0]?.aborted, true)
    stopped.open[0]?.(0)
    stopped.show(true)
    await later()
    assert.deepEqual([stopped.open.length, stopped.listeners.size], [1, 0])
  })
})
