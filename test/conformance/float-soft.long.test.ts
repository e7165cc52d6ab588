import { checkAgainstFpus } from './float-soft-check.ts';

checkAgainstFpus(250_000);
