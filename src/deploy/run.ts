/** Running the command by which a server is told to read its files again. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

const timeoutMs = 60_000
/** After its end what it left in its pipes is still read for so long: what it started and left running may hold them open for ever. */
const graceMs = 500

/** The command and all that it started: it leads a process group of its own. */
const killAll = ({ pid }: ChildProcess): void => {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Gone by itself.
  }
}

/** Runs a command without a shell; resolves with what went wrong, or null, within `limitMs` and a moment. A command that does not end by then is killed with what it started. */
export const run = ([command, ...args]: readonly string[], limitMs = timeoutMs): Promise<string | null> =>
  new Promise((resolve) => {
    let child: ChildProcessByStdio<null, Readable, Readable>
    try {
      child = spawn(command as string, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    } catch (error) {
      return resolve(`"${command}" could not be run: ${(error as Error).message}`)
    }
    const line = [command, ...args].join(' ')
    let said = ''
    let grace: NodeJS.Timeout | undefined
    const end = (fault: string | null): void => {
      clearTimeout(limit)
      clearTimeout(grace)
      child.stdout.destroy()
      child.stderr.destroy()
      const last = said.trim().slice(0, 500)
      resolve(fault && last ? `${fault}: ${last}` : fault)
    }
    const limit = setTimeout(() => {
      killAll(child)
      end(`"${line}" did not end within ${limitMs / 1000} s`)
    }, limitMs)
    const hear = (chunk: Buffer): void => {
      if (said.length < 2000) said += chunk.toString('utf8')
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', (error) => end(`"${command}" could not be run: ${error.message}`))
    const faultOf = (code: number | null, signal: string | null) => (code === 0 ? null : `"${line}" ended with ${signal ?? code}`)
    child.on('exit', (code, signal) => {
      clearTimeout(limit)
      grace = setTimeout(() => end(faultOf(code, signal)), graceMs)
    })
    child.on('close', (code, signal) => end(faultOf(code, signal)))
  })
