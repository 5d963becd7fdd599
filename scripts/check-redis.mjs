/**
 * What the tests need besides npm: a Redis or Valkey in PATH, since no package of npm brings one. On a fresh Debian or Ubuntu, as
 * root, it is installed; elsewhere one line says what is missing.
 */
import { spawnSync } from 'node:child_process';

const isThere = () => ['redis-server', 'valkey-server'].some((name) => spawnSync(name, ['--version']).status === 0);

function install() {
  const options = { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  spawnSync('apt-get', ['update', '--quiet'], options);
  spawnSync('apt-get', ['install', '--quiet', '--yes', 'redis-server'], options);
}

if (!isThere() && process.getuid?.() === 0) install();
if (!isThere()) {
  console.error('The tests need redis-server or valkey-server in PATH; on Debian: sudo apt-get install redis-server');
  process.exitCode = 1;
}
