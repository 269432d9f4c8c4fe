/**
 * Runs commands of the program as it was built, one after another, in this process: what is loaded for one is there for the next. Each gets its folder and environment
 * by a message, and ends as a process would: when nothing is left that it waits for. A mark on stdout and stderr says that all it wrote is out. Needs --expose-gc.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { main } from '../../dist/main.js'

const turn = () => new Promise((resolve) => setImmediate(resolve))
/** What keeps the event loop going. */
const waitsFor = () => process.getActiveResourcesInfo().sort().join()

const open = '/proc/self/fd'
const fileOf = (fd) => {
  try {
    return readlinkSync(`${open}/${fd}`)
  } catch {
    return ''
  }
}
/** Where this can't be seen, it is taken for so. */
const holdsDatabase = () => {
  try {
    return readdirSync(open).some((fd) => /\.db\b/.test(fileOf(fd)))
  } catch {
    return true
  }
}

/** libsql lets go of a database when the statements on it are collected; one that is held would not see what other processes do to its log. */
const letGo = async () => {
  for (let tries = 0; tries < 20 && holdsDatabase(); tries++) {
    globalThis.gc()
    await turn()
  }
  return !holdsDatabase()
}

process.on('message', async ({ folder, args, environment, mark }) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, environment)
  process.chdir(folder)
  process.exitCode = 0
  await turn()
  const idle = waitsFor()
  await main(args)
  while (waitsFor() !== idle) await turn()
  const code = process.exitCode ?? 0
  process.exitCode = 0
  const again = await letGo()
  process.stdout.write(mark)
  process.stderr.write(mark)
  process.send({ code, again })
})
