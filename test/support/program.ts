/** The whole program as a process of its own, in a fresh folder, the way an operator runs it: built, which costs nothing where the build is up to date. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

execFileSync(process.execPath, [fileURLToPath(new URL('../../src/bootstrap.mjs', import.meta.url)), '--build'], { stdio: 'inherit' })

/** The script that takes a command as its arguments. */
export const programFile = fileURLToPath(new URL('main.mjs', import.meta.url))

/** The environment without what would configure the program. */
const bareEnvironment = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('ICA_') && !['DATABASE_URL', 'SMTP_URL', 'NODE_TEST_CONTEXT'].includes(name)),
  )

export type Result = { code: number | null; stdout: string; stderr: string }

export type Program = { child: ChildProcess; result: Promise<Result>; stdout(): string; stderr(): string }

export const newFolder = (): { folder: string; remove(): void } => {
  const folder = mkdtempSync(path.join(tmpdir(), 'ica-program-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Whether nobody listens there, on whatever address. */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, () => server.close(() => resolve(true)))
  })

/**
 * A TCP port that nobody has, and that nobody is given: those that the system picks for connections, and for listeners on port 0, are above (from 32768 on with Linux, 49152
 * elsewhere).
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(10_000, 32_768)
    if (await isFree(port)) return port
  }
}

/** Starts a command. `environment` is all the configuration that it gets. */
export const start = (folder: string, args: string[], environment: Record<string, string> = {}): Program => {
  const child = spawn(process.execPath, [programFile, ...args], {
    cwd: folder,
    env: { ...bareEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (data) => {
    output.stdout += data
  })
  child.stderr.on('data', (data) => {
    output.stderr += data
  })
  const result = new Promise<Result>((resolve) => child.on('close', (code) => resolve({ code, ...output })))
  return { child, result, stdout: () => output.stdout, stderr: () => output.stderr }
}

/** How a command ended, and whether its process can run another. */
type End = { code: number | null; again: boolean }

type Runner = { child: ChildProcess; stdout: Readable; stderr: Readable }

const runnerFile = fileURLToPath(new URL('runner.mjs', import.meta.url))
const mark = '\0the end\0'
const idle: Runner[] = []

/** Between commands it keeps nobody waiting; it ends with us. */
const hold = ({ child, stdout, stderr }: Runner, held: boolean): void => {
  for (const one of [child, child.channel, stdout as Socket, stderr as Socket]) held ? one?.ref() : one?.unref()
}

const startRunner = (): Runner => {
  const child = spawn(process.execPath, ['--expose-gc', runnerFile], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  return { child, stdout: (child.stdout as Readable).setEncoding('utf8'), stderr: (child.stderr as Readable).setEncoding('utf8') }
}

/** What comes until the mark, or the end. */
const untilMark = (stream: Readable): Promise<string> =>
  new Promise((resolve) => {
    let text = ''
    const finish = (): void => {
      stream.off('data', hear).off('end', finish)
      resolve(text.replace(mark, ''))
    }
    const hear = (part: string): void => {
      text += part
      if (text.endsWith(mark)) finish()
    }
    stream.on('data', hear).on('end', finish)
  })

/** Runs a command in a process that has run others before. */
const runAgain = async (folder: string, args: string[], environment: Record<string, string>): Promise<Result> => {
  const runner = idle.pop() ?? startRunner()
  const { child } = runner
  hold(runner, true)
  const end = new Promise<End>((resolve) => {
    child.once('message', (message) => resolve(message as End)).once('exit', (code) => resolve({ code, again: false }))
  })
  child.send({ folder, args, environment: { ...bareEnvironment(), ...environment }, mark })
  const [stdout, stderr, { code, again }] = await Promise.all([untilMark(runner.stdout), untilMark(runner.stderr), end])
  child.removeAllListeners()
  hold(runner, false)
  if (again) idle.push(runner)
  else child.kill()
  return { code, stdout, stderr }
}

/** The commands that have been a process of their own in this file of tests. */
const tried = new Set<string | undefined>()

/**
 * Runs a command to its end. The first time it is a process of its own, as the operator's is; after that it is run in one that has loaded the program already, which is most
 * of what a command costs.
 */
export const run = (folder: string, args: string[], environment: Record<string, string> = {}): Promise<Result> => {
  const [command] = args
  if (!tried.has(command) || command === 'serve') {
    tried.add(command)
    return start(folder, args, environment).result
  }
  return runAgain(folder, args, environment)
}

/** Starts `serve` and waits until it listens. Rejects with what it said where it ends instead. */
export const serve = async (folder: string, environment: Record<string, string>): Promise<Program> => {
  const program = start(folder, ['serve'], environment)
  let ended: Result | null = null
  void program.result.then((result) => {
    ended = result
  })
  const until = Date.now() + 60_000
  while (!program.stderr().includes('"msg":"ready"')) {
    if (ended) throw new Error(`serve ended: ${JSON.stringify(ended)}`)
    if (Date.now() > until) {
      program.child.kill('SIGKILL')
      throw new Error(`serve is not ready after 60 s: ${program.stderr()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return program
}
