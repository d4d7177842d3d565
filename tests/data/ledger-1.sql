-- What a ledger of schema 1 held after a short run: one seed, one child, two trials, an improvement, a gate, four calls.
INSERT INTO trees (id, hash) VALUES (1, '1111111111111111111111111111111111111111'), (2, '2222222222222222222222222222222222222222');
INSERT INTO runs (id, name, started, config) VALUES (1, 'r1', 1.0, '{}');
INSERT INTO agents (id, number, hash, tree, subject, operator, created) VALUES
  (1, 0, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1, 'the seed', 'seed', 1.0),
  (2, 1, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 2, 'greet twice', 'self-edit', 2.0);
INSERT INTO parents (child, position, parent) VALUES (2, 0, 1);
INSERT INTO tasks (id, digest, name, benchmark, split, level) VALUES (1, 'd1', 'core/add', 'core', 'train', 1), (2, 'd2', 'core/sub', 'core', 'train', 1);
INSERT INTO conditions (id, hash, model, image) VALUES (1, 'c1', 'm1', 'i');
INSERT INTO trials (id, agent, tree, task, attempt, conditions, run, score, ending, grading, started,
  usd, prompt_tokens, cached_tokens, completion_tokens, calls, seconds) VALUES
  (1, 1, 1, 1, 0, 1, 1, 1.0, 'done', 'split', 5.0, 0.5, 200, 40, 20, 3, 3.0),
  (2, 1, 1, 1, 1, 1, 1, 0.5, 'done', 'split', 6.0, 0.25, 100, 40, 20, 2, 1.5);
INSERT INTO evidence (trial, trace, session, why) VALUES (1, 'sha256:1', 's-trial', '');
INSERT INTO improvements (parent, child, ending, run, trace, session, started, why, usd) VALUES (1, 2, 'child', 1, '', 's-improve', 2.0, '', 0.5);
INSERT INTO verdicts (agent, passed, reason, run, trace, session, started) VALUES (2, 1, '', 1, '', 's-gate', 3.0);
INSERT INTO calls (session, number, run, role, model, state, at, usd, prompt_tokens, cached_tokens, completion_tokens, calls, seconds) VALUES
  ('s-trial', 0, 1, 'main', 'm1', 'settled', 5.0, 0.5, 200, 40, 20, 3, 0.0),
  ('s-improve', 0, 1, 'improve', 'm1', 'settled', 2.0, 0.5, 0, 0, 0, 1, 0.0),
  ('s-gate', 0, 1, 'main', 'm1', 'settled', 3.0, 0.25, 0, 0, 0, 1, 0.0),
  ('s-lost', 0, 1, 'main', 'm1', 'reserved', 4.0, 0.5, 0, 0, 0, 1, 0.0);
