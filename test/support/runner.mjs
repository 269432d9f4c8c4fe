/**
 * Runs commands of the program as it was built, one after another, in this process: what is loaded for one is there for the next. Each gets its folder and environment
 * by a message, and ends as a process would: when nothing is left that it waits for. A mark on stdout and stderr says that all it wrote is out.
 */
import { main } from '../../dist/main.js'

const turn = () => new Promise((resolve) => setImmediate(resolve))
/** What keeps the event loop going. */
const waitsFor = () => process.getActiveResourcesInfo().sort().join()

process.on('message', async ({ folder, args, environment, mark }) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, environment)
  process.chdir(folder)
  process.exitCode = 0
  await turn()
  const idle = waitsFor()
  await main(args)
  while (waitsFor() !== idle) await turn()
  process.stdout.write(mark)
  process.stderr.write(mark)
  process.send(process.exitCode ?? 0)
})
