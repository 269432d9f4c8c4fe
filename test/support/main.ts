/** The program in the sources, as a file that node:cluster can start again. */
import { main } from '../../src/main.js'

await main(process.argv.slice(2))
