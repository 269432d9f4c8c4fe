/** A PostgreSQL server of its own for a bench: Debian's package, fsync on as it comes, on a loopback port. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'

const versions = '/usr/lib/postgresql'

const binaries = (): string => {
  const newest = existsSync(versions)
    ? readdirSync(versions)
        .sort((a, b) => Number(a) - Number(b))
        .pop()
    : undefined
  if (newest === undefined) throw new Error('PostgreSQL is missing: apt-get install postgresql')
  return path.join(versions, newest, 'bin')
}

/** PostgreSQL refuses to run as root: then it is the user that its package made. */
const asUser = (command: string[]): [string, string[]] => {
  const [file, ...rest] = process.getuid?.() === 0 ? ['runuser', '-u', 'postgres', '--', ...command] : command
  return [file as string, rest]
}

/** Starts one below /var/tmp, which is on a disk and open to its user, and makes the database `ica`. */
export const startPostgresql = async (port: number, cpus: string | null): Promise<{ url: string; stop(): Promise<void> }> => {
  const bin = binaries()
  const folder = mkdtempSync('/var/tmp/ica-bench-')
  if (process.getuid?.() === 0) execFileSync('chown', ['postgres', folder])
  const data = path.join(folder, 'data')
  const run = (...command: string[]) => {
    const [file, rest] = asUser(command)
    execFileSync(file, rest, { cwd: '/', stdio: 'pipe' })
  }
  run(path.join(bin, 'initdb'), '-D', data, '-U', 'ica', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8')
  const server = [path.join(bin, 'postgres'), '-D', data, '-k', folder, '-c', 'listen_addresses=127.0.0.1', '-c', `port=${port}`]
  const [file, rest] = asUser(cpus === null ? server : ['taskset', '-c', cpus, ...server])
  const log = openSync(path.join(folder, 'log'), 'w')
  const child = spawn(file, rest, { cwd: '/', stdio: ['ignore', log, log] })
  for (let tries = 0; ; tries++) {
    try {
      run(path.join(bin, 'createdb'), '-h', '127.0.0.1', '-p', `${port}`, '-U', 'ica', 'ica')
      break
    } catch (error) {
      if (tries > 100 || child.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  return {
    url: `postgresql://ica@127.0.0.1:${port}/ica`,
    async stop() {
      run(path.join(bin, 'pg_ctl'), '-D', data, '-m', 'fast', '-w', 'stop')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
