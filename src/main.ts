import { CommanderError } from 'commander'
import { say } from './cli/output.js'
import { createProgram } from './cli/program.js'

/**
 * Runs a command. `argv` without node and script. Sets the exit code; `serve` goes on after this returns.
 */
export const main = async (argv: string[]): Promise<void> => {
  try {
    await (await createProgram(argv[0])).parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode
      return
    }
    // Loaded by most commands anyway; not by those that have nothing to do with the CA.
    const { explain } = await import('./cli/context.js')
    const message = explain(error)
    if (message === null) throw error
    say(`xmpp-ica: ${message}`)
    process.exitCode = 1
  }
}
