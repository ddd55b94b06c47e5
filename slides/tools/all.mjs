// All checks of the built decks, each to its end.
import { spawnSync } from 'node:child_process'

const checks = [
  ['rules.test.mjs', '--test'],
  ['minutes.mjs', '--check'],
  ['pictures.mjs', '--check'],
  ['check.mjs', 'course'],
  ['check.mjs', 'talk'],
]
const failed = checks.filter(([tool, what]) => {
  const env = { ...process.env, CUT: what === 'talk' ? 'talk' : 'course' }
  const words = what === '--test' ? ['--test', '--test-reporter=dot', `tools/${tool}`] : [`tools/${tool}`, what]
  return spawnSync(process.execPath, words, { stdio: 'inherit', env }).status !== 0
})
process.exit(failed.length ? 1 : 0)
