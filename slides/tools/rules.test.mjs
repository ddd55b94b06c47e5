// The rules that need no browser: node --test tools
import assert from 'node:assert/strict'
import test from 'node:test'
import { clicksOf, cutter, spoken, spokenLength } from './cut.mjs'
import { identities } from './identities.mjs'
import { repositoryOf } from './repository.mjs'
import { talk } from './talk.mjs'

test('what is said is counted, and nothing else', () => {
  assert.equal(spokenLength('三個 Pod，10.13.0.2 與 `from_pod`。'), 3 + 3 * 2)
  assert.equal(spokenLength(spoken('開始 [click] 說\n[click:2]完\n\n### 備忘\n打：`lab pods`')), 4)
})

test('clicks are counted from a slide\'s front matter or note', () => {
  assert.equal(clicksOf({}, '甲 [click] 乙 [click:2] 丙'), 3)
  assert.equal(clicksOf({ clicks: 5 }, '甲 [click] 乙'), 5)
  assert.equal(clicksOf({}), 0)
})

test('each cut hides what is the other\'s, and keeps the part', () => {
  const hidden = (cut, ...all) => {
    const { transformSlide } = cutter(cut)
    return all.map(front => (transformSlide('', front), [front.hide, front.part]))
  }
  const slides = () => [{ part: 'a', talk: 'only' }, {}, { talk: true }]
  assert.deepEqual(hidden('talk', ...slides()), [[false, 'a'], [true, 'a'], [false, 'a']])
  assert.deepEqual(hidden('course', ...slides()), [[true, 'a'], [false, 'a'], [false, 'a']])
})

test('a note says how long it is, once', () => {
  const notes = (...all) => {
    const { transformSlide, transformNote } = cutter('course')
    return all.map(([front, note]) => (transformSlide('', front), transformNote(note, front)))
  }
  const [one, two] = notes([{ minutes: 1.5 }, '甲'], [{ minutes: 2, optional: true }, '**9:99，講完這張是 9:99**\n\n乙'])
  assert.equal(one, '**1:30，講完這張是 1:30**\n\n甲')
  assert.equal(two, '**2:00（可略），講完這張是 3:30**\n\n乙')
})

test('a pod has one number', () => {
  const table = { pods: { frontend: 256, backend: 258, other: 259 }, labels: { 'app=frontend': 256, 'app=backend': 258 } }
  for (const line of [
    'default/frontend, 10.13.0.2, identity 256: simple_tc_parser', 'Allow 256 app=frontend 258 app=backend 3 294',
    'Identity 258: app=backend', '1 default/frontend … 256 10.13.0.2 app=frontend', '(256, 258) 在表裡', '(0, 259)', '256 個封包',
  ]) assert.deepEqual(identities([line], table), [], line)
  for (const line of [
    'default/backend, 10.13.0.3, identity 257: simple_tc_parser', 'Allow 256 app=frontend 257 app=backend 3 294',
    'default/other (identity 258) → default/backend (identity 258)', '(256, 257) 在表裡', '(256, 259)', '身分 261',
  ]) assert.notDeepEqual(identities([line], table), [], line)
})

test('a slide of the talk has one idea, and steps', () => {
  const none = { code: 0, drawings: 0, tables: 0, lines: 0, clicks: 0, steps: 0 }
  const wrong = (slide, found) => talk({ content: '<<< @/a', clicks: 0, ...slide }, { ...none, ...found }).length
  assert.equal(wrong({}, { code: 1, lines: 12 }), 0)
  assert.equal(wrong({}, { code: 1, lines: 13 }), 1)
  assert.equal(wrong({ clicks: 1 }, { drawings: 1, tables: 1, clicks: 1 }), 1)
  assert.equal(wrong({}, { drawings: 1 }), 1)
  assert.equal(wrong({ clicks: 2 }, { code: 1, clicks: 3 }), 1)
  assert.equal(wrong({ clicks: 2, frontmatter: { clicks: 2 } }, { drawings: 1, clicks: 2, steps: 0 }), 0)
  assert.equal(wrong({ clicks: 2, frontmatter: { clicks: 2 } }, { drawings: 1, clicks: 2, steps: 3 }), 1)
})

test('the repository is the workspace\'s', () => {
  const manifest = '[a]\nrepository = "x"\n[workspace.package]\nlicense = "y"\nrepository = "https://z"\n[b]\n'
  assert.equal(repositoryOf(manifest), 'https://z')
  assert.equal(repositoryOf(manifest.replace('repository = "https://z"\n', '')), '')
})
