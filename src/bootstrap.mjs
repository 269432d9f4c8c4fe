#!/usr/bin/env node
/**
 * The first file that runs: plain JavaScript without a dependency, so that a fresh clone needs nothing but Node and the npm registry.
 *
 *   node src/bootstrap.mjs <command …>   install, generate and build whatever is missing or out of date, then run the command in this process
 *   node src/bootstrap.mjs --setup       install and generate only
 *   node src/bootstrap.mjs --build       … and build (for `npm test` too: it tries the program as it is used)
 *
 * Each step is skipped where its inputs have not changed (by content, not by time), so that the next start costs milliseconds. Progress goes to stderr:
 * stdout belongs to the command. Nothing is written where nothing is to do: an installation may be read-only to the user that runs it.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const home = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => path.join(home, ...parts)
const say = (text) => process.stderr.write(`xmpp-ica: ${text}\n`)

class Stop extends Error {}

const checkNode = () => {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major >= 24 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) return
  throw new Stop(
    `this needs Node 20.19, 22.12, 24 or newer; found is ${process.version} (${process.execPath}).\nInstall a newer one from your distribution or https://nodejs.org and start again.`,
  )
}

const readJson = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** Every file below `start` (a file or a folder) as paths relative to the package, sorted. */
const filesBelow = (start) => {
  const full = at(start)
  if (!existsSync(full)) return []
  if (statSync(full).isFile()) return [start]
  return readdirSync(full)
    .sort()
    .filter((name) => name !== 'node_modules')
    .flatMap((name) => filesBelow(path.join(start, name)))
}

const generatedFolder = path.join('src', 'store', 'generated')

/** A hash over names and contents of what a step reads. */
const fingerprint = (places) => {
  const hash = createHash('sha256')
  for (const file of places.flatMap(filesBelow)) {
    // Made by the steps themselves, from files that are in the hash already.
    if (file.startsWith(generatedFolder + path.sep) || file === path.join('prisma', 'postgresql.prisma')) continue
    const content = readFileSync(at(file))
    hash.update(`${file}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

const stampOf = (file) => (existsSync(at(file)) ? readFileSync(at(file), 'utf8') : '')

const writeStamp = (file, value) => {
  const handle = openSync(file, 'w')
  writeSync(handle, value)
  closeSync(handle)
}

/** What npm wrote about node_modules agrees with package-lock.json. `development` asks for the build tools too. */
const isInstalled = (development) => {
  const wanted = readJson(at('package-lock.json'))
  if (!wanted) return existsSync(at('node_modules')) || !existsSync(at('package.json')) || home.includes(`${path.sep}node_modules${path.sep}`)
  const found = readJson(at('node_modules', '.package-lock.json'))
  if (!found) return false
  return Object.entries(wanted.packages).every(([place, entry]) => {
    if (place === '' || entry.optional || entry.devOptional || entry.peer || (entry.dev && !development)) return true
    const there = found.packages[place]
    return there !== undefined && there.version === entry.version && there.integrity === entry.integrity
  })
}

let child = null

/** Runs a program of ours to its end; its output goes to stderr. A signal ends it first, then us. */
const run = (what, file, args, env = {}) =>
  new Promise((resolve, reject) => {
    const started = spawn(file, args, { cwd: home, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    child = started
    const output = []
    started.stdout.on('data', (data) => output.push(data))
    started.stderr.on('data', (data) => output.push(data))
    started.on('error', (error) => reject(new Stop(`${what} could not be started: ${error.message}`)))
    started.on('close', (code) => {
      if (child === started) child = null
      if (code === 0) return resolve()
      process.stderr.write(Buffer.concat(output))
      reject(new Stop(`${what} failed (${file} ${args.join(' ')}): see above.`))
    })
  })

const npm = () => {
  if (process.env.npm_execpath && /npm-cli\.(c?js)$/.test(process.env.npm_execpath)) return [process.execPath, [process.env.npm_execpath]]
  const beside = path.join(path.dirname(process.execPath), 'npm')
  return [existsSync(beside) ? beside : 'npm', []]
}

const install = async () => {
  say('installing the packages that package-lock.json names (once; needs the npm registry) …')
  const [file, first] = npm()
  // --include=dev: the build tools are needed here, whatever NODE_ENV says.
  const args = [...first, 'ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  await run('npm ci', file, args, { npm_config_global: 'false' })
}

const generateInputs = [path.join('prisma', 'schema.prisma'), path.join('src', 'store', 'generate.mjs'), 'package-lock.json']
const generateStamp = path.join(generatedFolder, '.stamp')
const isGenerated = () => stampOf(generateStamp) === fingerprint(generateInputs)

const generate = async () => {
  say('generating the database clients …')
  const value = fingerprint(generateInputs)
  // In a process of its own: the generator changes global state, and this process goes on to be the server.
  const script = `import(${JSON.stringify(new URL('./store/generate.mjs', import.meta.url).href)}).then((m) => m.generateClients())`
  await run('Generating the database clients', process.execPath, ['--input-type=module', '-e', script])
  mkdirSync(at(generatedFolder), { recursive: true })
  writeStamp(at(generateStamp), value)
}

const buildInputs = ['src', 'web', 'docs', 'prisma', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
const isBuilt = () => stampOf(path.join('dist', '.stamp')) === fingerprint(buildInputs)

const build = async () => {
  say('building …')
  const value = fingerprint(buildInputs)
  const fresh = `dist-${process.pid}`
  rmSync(at(fresh), { recursive: true, force: true })
  mkdirSync(at(fresh))
  await run('Compiling', process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', fresh])
  const vite = [at('node_modules', 'vite', 'bin', 'vite.js'), 'build', 'web', '--outDir', at(fresh, 'web'), '--emptyOutDir', '--logLevel', 'warn']
  await run('Building the web page', process.execPath, vite)
  writeStamp(at(fresh, '.stamp'), value)
  // Only a whole build is ever called dist, whatever ends this process.
  const old = `dist-old-${process.pid}`
  if (existsSync(at('dist'))) renameSync(at('dist'), at(old))
  renameSync(at(fresh), at('dist'))
  rmSync(at(old), { recursive: true, force: true })
}

const lockFile = at('dist-lock')

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** True where this process now holds the lock. A lock whose owner is gone is taken away by renaming it, which only one of several can do. */
const tryLock = () => {
  try {
    const handle = openSync(lockFile, 'wx')
    writeSync(handle, String(process.pid))
    closeSync(handle)
    return true
  } catch (error) {
    if (error.code !== 'EEXIST')
      throw new Stop(`${home} needs a build, and this user may not write there: ${error.message}\nRun "npm run build" as its owner first.`)
  }
  try {
    const owner = Number(readFileSync(lockFile, 'utf8'))
    const old = Date.now() - statSync(lockFile).mtimeMs > 10_000
    if (owner ? !isAlive(owner) : old) {
      const away = `${lockFile}-${process.pid}`
      renameSync(lockFile, away)
      unlinkSync(away)
    }
  } catch {
    // Released or taken away by another process meanwhile.
  }
  return false
}

/** Does `work` while no other start of this package does. What is to do is looked at again inside: another start may have done it. */
const locked = async (work) => {
  for (let waited = 0; !tryLock(); waited++) {
    if (waited === 5) say('another start is building; waiting for it …')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const end = (signal) => {
    child?.kill(signal)
    rmSync(lockFile, { force: true })
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  process.on('SIGINT', end).on('SIGTERM', end)
  try {
    await work()
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
    rmSync(lockFile, { force: true })
  }
}

const prepare = async (withBuild) => {
  const steps = [
    [() => isInstalled(!withBuild || !isBuilt()), install],
    [() => (isBuilt() && withBuild ? true : isGenerated()), generate],
    [() => !withBuild || isBuilt(), build],
  ]
  if (steps.every(([done]) => done())) return
  await locked(async () => {
    for (const name of readdirSync(home)) {
      if (/^dist-(old-)?\d+$/.test(name)) rmSync(at(name), { recursive: true, force: true })
    }
    for (const [done, work] of steps) if (!done()) await work()
  })
}

try {
  checkNode()
  const first = process.argv[2]
  if (first === '--setup') await prepare(false)
  else if (first === '--build') await prepare(true)
  else {
    await prepare(true)
    const { main } = await import(new URL('../dist/main.js', import.meta.url).href)
    await main(process.argv.slice(2))
  }
} catch (error) {
  if (!(error instanceof Stop)) throw error
  say(error.message)
  process.exitCode = 1
}
