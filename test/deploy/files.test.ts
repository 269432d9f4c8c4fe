/** Where files are put, with what rights, and how everything becomes as it was; and the command by which a server is told. */
import assert from 'node:assert/strict'
import { chownSync, existsSync, lchownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { placeFiles } from '../../src/deploy/files.js'
import { run } from '../../src/deploy/run.js'

const folder = mkdtempSync(path.join(tmpdir(), 'ica-files-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const isRoot = process.getuid?.() === 0
/** Whoever that is on this machine; nobody needs to have the numbers. */
const server = { uid: 54_321, gid: 54_322 }
const secret = (file: string, content = 'key') => ({ file, content, secret: true })
const rightsOf = (file: string) => {
  const { mode, uid, gid } = statSync(file)
  return { mode: (mode & 0o777).toString(8), uid, gid }
}

describe('files in a folder that is missing', () => {
  it('can be reached by the server, and the folders go again', { skip: !isRoot }, () => {
    const base = path.join(folder, 'missing')
    mkdirSync(base)
    const umask = process.umask(0o077)
    const placed = placeFiles([secret(path.join(base, 'a', 'b', 'x.key')), secret(path.join(base, 'a', 'c', 'y.key'))], server)
    process.umask(umask)
    for (const made of ['a', 'a/b', 'a/c']) assert.deepEqual(rightsOf(path.join(base, made)), { mode: '750', ...server }, made)
    assert.deepEqual(rightsOf(path.join(base, 'a/b/x.key')), { mode: '640', ...server })
    assert.equal(rightsOf(base).uid, 0, 'what was there keeps its owner')
    writeFileSync(path.join(base, 'a/c/other'), '')
    assert.deepEqual(placed.restore(), [])
    assert.ok(!existsSync(path.join(base, 'a/b')))
    assert.ok(existsSync(path.join(base, 'a/c/other')), 'what somebody else has put there stays')
  })

  it('and files that were there keep whose they are', { skip: !isRoot }, () => {
    const file = path.join(folder, 'kept.key')
    writeFileSync(file, 'old', { mode: 0o600 })
    chownSync(file, 1_234, 1_235)
    const placed = placeFiles([secret(file)], server)
    assert.deepEqual(rightsOf(file), { mode: '600', uid: 1_234, gid: 1_235 })
    placed.restore()
    assert.deepEqual([readFileSync(file, 'utf8'), rightsOf(file)], ['old', { mode: '600', uid: 1_234, gid: 1_235 }])
  })
})

it('one file that cannot be put back does not keep the others from it, and is named', () => {
  const [good, bad] = [path.join(folder, 'good.key'), path.join(folder, 'gone', 'bad.key')]
  mkdirSync(path.dirname(bad))
  for (const file of [good, bad]) writeFileSync(file, 'old')
  const placed = placeFiles([secret(good), secret(bad)], null)
  rmSync(path.dirname(bad), { recursive: true })
  const lost = placed.restore()
  assert.equal(lost.length, 1)
  assert.match(lost[0] as string, /gone\/bad\.key \(ENOENT/)
  assert.equal(readFileSync(good, 'utf8'), 'old')
})

describe('links on the way', () => {
  it('that root made are followed', () => {
    const real = path.join(folder, 'real')
    mkdirSync(real)
    symlinkSync('real', path.join(folder, 'linked'))
    placeFiles([secret(path.join(folder, 'linked', 'deep', 'x.key'))], null)
    assert.equal(readFileSync(path.join(real, 'deep', 'x.key'), 'utf8'), 'key')
  })

  it('that the user of the server laid to a folder of somebody else are not', { skip: !isRoot }, () => {
    const victim = path.join(folder, 'victim')
    mkdirSync(victim)
    const link = path.join(folder, 'planted')
    symlinkSync(victim, link)
    lchownSync(link, server.uid, server.gid)
    assert.throws(() => placeFiles([secret(path.join(link, 'x.key'))], server), /planted is a link that user 54321 made to what is of user 0/)
    assert.throws(() => placeFiles([secret(path.join(link, 'deep', 'x.key'))], server), /is not followed/)
    assert.ok(!existsSync(path.join(victim, 'x.key')) && !existsSync(path.join(victim, 'deep')))
  })

  it('in a circle are an error', () => {
    const [one, two] = [path.join(folder, 'one'), path.join(folder, 'two')]
    symlinkSync(two, one)
    symlinkSync(one, two)
    assert.throws(() => placeFiles([secret(path.join(one, 'x.key'))], null), /could not be written/)
  })
})

describe('the command by which a server is told', () => {
  it('is done when it ends, though what it left running holds its output open', async () => {
    const started = Date.now()
    assert.equal(await run(['sh', '-c', 'sleep 20 & echo $!']), null)
    assert.ok(Date.now() - started < 5_000)
  })

  it('is killed with all that it started where it does not end', async () => {
    const pids = path.join(folder, 'pids')
    const fault = await run(['sh', '-c', `trap '' TERM; sleep 60 & echo $$ $! > ${pids}; echo stuck; wait; sleep 60`], 500)
    assert.match(fault ?? '', /did not end within 0\.5 s: stuck$/)
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) {
      const state = () => (existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] : 'gone')
      const hasEnded = () => ['gone', 'Z'].includes(state() ?? 'gone')
      for (const end = Date.now() + 10_000; !hasEnded() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 20))
      assert.ok(hasEnded(), `${pid} is ${state()}`)
    }
  })

  it('that fails or is none is named with what it said', async () => {
    assert.match((await run(['sh', '-c', 'echo why >&2; exit 3'])) ?? '', /ended with 3: why$/)
    assert.match((await run(['no-such-command'])) ?? '', /"no-such-command" could not be run/)
    assert.match((await run(['sh', '-c', 'kill -9 $$'])) ?? '', /ended with SIGKILL$/)
  })
})
