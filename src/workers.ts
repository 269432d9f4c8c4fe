/** Several processes on one listener: started, watched and ended by one that does nothing else. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { AggregatorRegistry } from 'prom-client'
import type { Log } from './log.js'
import type { Meter } from './metrics.js'

/** What the processes say to each other, beside what node:cluster and prom-client do. */
type Message =
  | { ica: 'ready'; listen: string[] }
  | { ica: 'revoked' }
  | { ica: 'figures?'; id: number }
  | { ica: 'figures'; id: number; text: string }

const isMessage = (message: unknown): message is Message => typeof message === 'object' && message !== null && 'ica' in message

/** The pause before a dead worker is followed by another; doubled with each that did not last. */
const restartMs = { first: 100, most: 10_000, lasting: 30_000 }
/** A worker that did not obey by then is cut off. The whole has 5 s. */
const stopMs = 4300

export type Workers = {
  /** Resolves when all listen; rejects where the first of them ends instead. */
  ready: Promise<string[]>
  stop(): Promise<void>
}

/** Runs the command line of this process in `count` others. */
export const runWorkers = (count: number, log: Log): Workers => {
  // Each takes connections from the socket itself. In turns through this process would be fairer, and slower with a connection for each request.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const aggregator = new AggregatorRegistry()
  const up = new Set<Worker>()
  let stopping = false
  let pause = restartMs.first
  let settle: { resolve(listen: string[]): void; reject(error: Error): void } | null = null
  const ready = new Promise<string[]>((resolve, reject) => {
    settle = { resolve, reject }
  })

  const answerFigures = async (worker: Worker, id: number): Promise<void> => {
    const text = await aggregator.clusterMetrics().catch((error: Error) => `# ${error.message}\n`)
    if (worker.isConnected()) worker.send({ ica: 'figures', id, text } satisfies Message)
  }

  const ended = (worker: Worker, began: number, code: number | null, signal: string | null): void => {
    const wasUp = up.delete(worker)
    if (stopping) return
    if (settle && !wasUp) {
      settle.reject(new Error('a status process could not start'))
      return
    }
    if (performance.now() - began > restartMs.lasting) pause = restartMs.first
    log.error({ pid: worker.process.pid, code, signal, pause }, 'a status process ended; another one is started')
    setTimeout(start, pause).unref()
    pause = Math.min(2 * pause, restartMs.most)
  }

  const start = (): void => {
    if (stopping) return
    const began = performance.now()
    const worker = cluster.fork()
    worker.on('message', (message: unknown) => {
      if (!isMessage(message)) return
      if (message.ica === 'figures?') void answerFigures(worker, message.id)
      if (message.ica === 'revoked') for (const other of up) if (other !== worker && other.isConnected()) other.send(message)
      if (message.ica !== 'ready') return
      up.add(worker)
      if (up.size < count) return
      settle?.resolve(message.listen)
      settle = null
    })
    worker.on('exit', (code, signal) => ended(worker, began, code, signal))
  }
  // A process without children and sockets would end by itself between two of them.
  const alive = setInterval(() => undefined, 60_000)
  for (let i = 0; i < count; i++) start()

  return {
    ready,
    stop: async () => {
      stopping = true
      clearInterval(alive)
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
      const exits = workers.map(({ process }) => (process.exitCode === null && process.signalCode === null ? once(process, 'exit') : null))
      for (const { process } of workers) process.kill('SIGTERM')
      const cut = setTimeout(() => {
        for (const { process } of workers) process.kill('SIGKILL')
      }, stopMs)
      await Promise.all(exits)
      clearTimeout(cut)
    },
  }
}

/** In a worker: tells the first process that it listens. */
export const tellReady = (listen: string[]): void => void process.send?.({ ica: 'ready', listen } satisfies Message)

/** In a worker: a way to ask the first process for the figures of all. Its own where there is no answer. */
export const figuresOfAll = (meter: Meter): (() => Promise<string>) => {
  const waiting = new Map<number, (text: string) => void>()
  let last = 0
  // Makes this process answer when the first one asks.
  new AggregatorRegistry()
  AggregatorRegistry.setRegistries(meter.registry)
  process.on('message', (message: unknown) => {
    if (isMessage(message) && message.ica === 'figures') waiting.get(message.id)?.(message.text)
  })
  return async () => {
    const id = ++last
    const text = await new Promise<string | null>((resolve) => {
      waiting.set(id, resolve)
      setTimeout(() => resolve(null), 6000).unref()
      process.send?.({ ica: 'figures?', id } satisfies Message)
    })
    waiting.delete(id)
    return text ?? meter.render()
  }
}

/** How one of several processes lets the others know that something was revoked, so that each looks in the database at once. */
export type Neighbours = { tell(): void; listen(look: () => void): void }

/** Whoever asks for one revoked certificate after the other must not make all processes look all the time. */
const tellEveryMs = 20

/** In a worker. */
export const createNeighbours = (): Neighbours => {
  let timer: NodeJS.Timeout | null = null
  let again = false
  const tell = (): void => {
    again = timer !== null
    if (timer) return
    process.send?.({ ica: 'revoked' } satisfies Message)
    timer = setTimeout(() => {
      timer = null
      if (again) tell()
    }, tellEveryMs).unref()
  }
  return { tell, listen }
}

const listen: Neighbours['listen'] = (look) => {
  process.on('message', (message: unknown) => {
    if (isMessage(message) && message.ica === 'revoked') look()
  })
}
