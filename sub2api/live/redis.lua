-- Live state in Redis: one script, one command a call. KEYS[1] is the prefix with its hash tag,
-- ARGV the operation, the process and the packed arguments. Time is Redis's own.
--
--   slots        hash    slot -> calls under way, "?slot" -> calls waiting; no zeros
--   h:PROCESS    hash    call id -> packed holding; "" marks that the process has registered
--   procs        zset    process -> end of its lease
--   w:WINDOW     string  packed {second, amount, second, amount, ...}
--   b:BUDGET     string  nanodollars;  f:BUDGET  hash  call id -> booked while it was not filled
--   s:SESSIONS   zset    session -> last seen;  y:NAME  string  account a session is bound to
--   served       zset    "u7", "k9" -> when a call of that user or key was last let in
--   waiters      hash    call id -> packed {process, first only, arrival, entry}
--   until        zset    call id -> when a waiter that has not asked again is given up
--   q:NAME       set     "user|key|arrival|call id" of those who wait for that slot or window
--   of           hash    "u7" -> calls of a user waiting, "b3" -> calls waiting for their binding
--   tickets      zset    arrival -> until when that place in line is kept;  arrivals  string

local P = KEYS[1] .. ':'
local call, pack, unpack_, unpack = redis.call, cmsgpack.pack, cmsgpack.unpack, unpack
local me = ARGV[2]
local time = call('TIME')
local sec = tonumber(time[1])
local now = sec + tonumber(time[2]) / 1000000
local SLOTS, WAITERS, PROCS, OF = P .. 'slots', P .. 'waiters', P .. 'procs', P .. 'of'
local LEASE, PATIENCE, TICKET, KEPT = 15, 3, 2, 604800

local function count(hash, name, by)
  if call('HINCRBY', hash, name, by) <= 0 then call('HDEL', hash, name) end
end

-- windows: {name, limit, amount, tokens, seconds}

local function read(window)
  local raw, list, total = call('GET', P .. 'w:' .. window[1]), {}, 0
  if raw then
    local all, oldest = unpack_(raw), sec - window[5]
    for i = 1, #all, 2 do
      if all[i] > oldest then
        list[#list + 1], list[#list + 2] = all[i], all[i + 1]
        total = total + all[i + 1]
      end
    end
  end
  return list, total
end

local function write(window, list)
  call('SET', P .. 'w:' .. window[1], pack(list), 'EX', window[5] + 1)
end

local function add(window, amount)
  local list = read(window)
  local n = #list
  if n > 0 and list[n - 1] == sec then
    list[n] = list[n] + amount
  else
    list[n + 1], list[n + 2] = sec, amount
  end
  write(window, list)
end

local function take_back(window, second, amount)
  local list = read(window)
  for i = 1, #list, 2 do
    if list[i] == second then
      list[i + 1] = math.max(0, list[i + 1] - amount)
      write(window, list)
      return
    end
  end
end

local function full_window(windows)
  for _, window in ipairs(windows) do
    local list, left = read(window)
    local limit, amount = window[2], window[3]
    if left > 0 and left + amount > limit then
      for i = 1, #list, 2 do
        left = left - list[i + 1]
        if left == 0 or left + amount <= limit then
          return window[1], list[i] + window[5] - now
        end
      end
    end
  end
end

local function usage(windows, tokens)
  local tightest = false
  for _, window in ipairs(windows) do
    if window[4] == tokens then
      local list, total = read(window)
      local remaining, resets = math.max(0, window[2] - total), 0
      for i = #list - 1, 1, -2 do
        if list[i + 1] > 0 then
          resets = list[i] + window[5] - now
          break
        end
      end
      if not tightest or remaining < tightest[2] then
        tightest = { window[2], remaining, resets }
      end
    end
  end
  return tightest
end

local function settle(windows, second, tokens)
  for _, window in ipairs(windows) do
    if window[4] == 1 then
      if tokens > window[3] then
        add(window, tokens - window[3])
      else
        take_back(window, second, window[3] - tokens)
      end
    end
  end
end

-- budgets: {name, limit, expires, lists}

local function unfilled(lists)
  local names, known = {}, {}
  for _, budgets in ipairs(lists) do
    for _, budget in ipairs(budgets) do
      if known[budget[1]] == nil then
        known[budget[1]] = call('EXISTS', P .. 'b:' .. budget[1]) == 1
        if not known[budget[1]] then names[#names + 1] = budget[1] end
      end
    end
  end
  return #names > 0 and names
end

local function full_budget(budgets)
  for _, budget in ipairs(budgets) do
    local spent = tonumber(call('GET', P .. 'b:' .. budget[1])) or 0
    if spent >= budget[2] then return budget[1] end
  end
end

local function keep(key, expires)
  if expires > 0 then
    call('EXPIREAT', key, math.ceil(expires))
  else
    call('EXPIRE', key, KEPT)
  end
end

local function book(call_id, name, amount, expires)
  if amount == 0 or (expires > 0 and expires <= now) then return end
  if call('EXISTS', P .. 'b:' .. name) == 1 then
    call('INCRBY', P .. 'b:' .. name, string.format('%.0f', amount))
    if expires == 0 then call('EXPIRE', P .. 'b:' .. name, KEPT) end
  else
    call('HSET', P .. 'f:' .. name, call_id, string.format('%.0f', amount))
    call('EXPIRE', P .. 'f:' .. name, KEPT)
  end
end

-- sessions: {name, limit, idle} or 0

local function full_sessions(sessions, session)
  if sessions == 0 or session == '' then return end
  local key = P .. 's:' .. sessions[1]
  call('ZREMRANGEBYSCORE', key, '-inf', now - sessions[3])
  if call('ZSCORE', key, session) or call('ZCARD', key) < sessions[2] then return end
  local oldest = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return sessions[1], tonumber(oldest[2]) + sessions[3] - now
end

local function see(sessions, session)
  if sessions == 0 or session == '' then return 0 end
  local key = P .. 's:' .. sessions[1]
  local new = call('ZADD', key, now, session)
  call('EXPIRE', key, math.ceil(sessions[3]) + 1)
  return new
end

-- bindings: {name, expected, unusable, ttl, wait, max waiting} or 0

local function holds(list, value)
  for _, each in ipairs(list) do
    if each == value then return true end
  end
  return false
end

local function bound_to(sticky)
  return sticky ~= 0 and tonumber(call('GET', P .. 'y:' .. sticky[1])) or 0
end

local function bind(sticky, account)
  if sticky == 0 then return 0 end
  local bound = bound_to(sticky)
  if bound == 0 or bound == account or holds(sticky[3], bound) then
    local life = math.max(1, math.floor(sticky[4] * 1000))
    call('SET', P .. 'y:' .. sticky[1], account, 'PX', life)
    return account
  end
  return bound
end

-- room. slots: {name, limit, name, limit, ...}; place: {account, slots, windows, budgets, sessions}

local let_ins = 0
local found_full = {} -- slots that this run has found full: it gives nothing back afterwards

local function full_slot(slots)
  for i = 1, #slots, 2 do
    local active = tonumber(call('HGET', SLOTS, slots[i])) or 0
    if active >= slots[i + 1] then
      found_full[slots[i]] = true
      return slots[i]
    end
  end
end

local function full_place(place, session)
  local name, after = full_slot(place[2]), nil
  if not name then name, after = full_window(place[3]) end
  if not name then name = full_budget(place[4]) end
  if not name then name, after = full_sessions(place[5], session) end
  return name, after
end

local function choose(places, session, only_first)
  local full, soonest
  for i = 1, only_first and math.min(1, #places) or #places do
    local name, after = full_place(places[i], session)
    if not name then return i end
    full = full or name
    if after and (not soonest or after < soonest) then soonest = after end
  end
  return nil, full or '', soonest
end

-- holdings: {slots, windows, budgets, index, place or 0, session, began, since, placed}

local function take_slots(slots)
  for i = 1, #slots, 2 do
    if call('HINCRBY', SLOTS, slots[i], 1) >= slots[i + 1] then found_full[slots[i]] = true end
  end
end

local function take_place(holding, places, index, session)
  local place = places[index]
  holding[4], holding[5], holding[6], holding[9] = index - 1, place, session, sec
  take_slots(place[2])
  for _, window in ipairs(place[3]) do add(window, window[3]) end
  holding[7] = see(place[5], session)
end

local function let_in(process, entry, index)
  local holding = { entry[4], entry[5], entry[6], -1, 0, entry[9], 0, sec, sec }
  take_slots(entry[4])
  for _, window in ipairs(entry[5]) do add(window, window[3]) end
  local bound = 0
  if index > 0 then
    take_place(holding, entry[7], index, entry[9])
    bound = bind(entry[8], entry[7][index][1])
  end
  call('HSET', P .. 'h:' .. process, entry[1], pack(holding))
  call('ZADD', PROCS, 'NX', now + LEASE, process)
  local turn = now + let_ins / 1000000 -- one after the other, also within one run
  let_ins = let_ins + 1
  call('ZADD', P .. 'served', turn, 'u' .. entry[2], turn, 'k' .. entry[3])
  return { 1, index - 1, usage(entry[5], 0), usage(entry[5], 1), bound }
end

local function refused(entry, full, after, queue_full, ticket)
  return { 2, full, after or -1, queue_full, ticket, usage(entry[5], 0), usage(entry[5], 1) }
end

-- Try to let a call in: its reply, or nil, what is full, until when, and whether to wait for it.
local function try(process, entry, only_first)
  local full, after = full_window(entry[5])
  if not full then full = full_budget(entry[6]) end
  if full then return nil, full, after, false end
  full = full_slot(entry[4])
  if full then return nil, full, nil, true end
  local index = 0
  if #entry[7] > 0 then
    index, full, after = choose(entry[7], entry[9], only_first)
    if not index then return nil, full, after, true end
  end
  return let_in(process, entry, index)
end

-- waiting

local function awaited(entry, only_first)
  local slots, others = {}, {}
  for i = 1, #entry[4], 2 do slots[entry[4][i]] = true end
  for i, place in ipairs(entry[7]) do
    if i > 1 and only_first then break end
    for j = 1, #place[2], 2 do slots[place[2][j]] = true end
    for _, window in ipairs(place[3]) do others[window[1]] = true end
  end
  return slots, others
end

local function line_up(entry, only_first, arrival, command, by)
  local member = table.concat({ entry[2], entry[3], arrival, entry[1] }, '|')
  local slots, others = awaited(entry, only_first)
  for name in pairs(slots) do
    call(command, P .. 'q:' .. name, member)
    count(SLOTS, '?' .. name, by)
  end
  for name in pairs(others) do call(command, P .. 'q:' .. name, member) end
  count(OF, 'u' .. entry[2], by)
  if only_first then count(OF, 'b' .. entry[7][1][1], by) end
end

local function wait(entry, only_first, arrival)
  if call('ZADD', P .. 'until', now + PATIENCE, entry[1]) == 1 then
    call('HSET', WAITERS, entry[1], pack({ me, only_first and 1 or 0, arrival, entry }))
    line_up(entry, only_first, arrival, 'SADD', 1)
  end
end

local function stop_waiting(call_id)
  local raw = call('HGET', WAITERS, call_id)
  call('ZREM', P .. 'until', call_id)
  if not raw then return false end
  call('HDEL', WAITERS, call_id)
  local waiter = unpack_(raw)
  line_up(waiter[4], waiter[2] == 1, waiter[3], 'SREM', -1)
  return true
end

local function comes_before(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  if a[2] ~= b[2] then return a[2] < b[2] end
  return a[3] < b[3]
end

-- When each of these was last served, in the same order.
local function turns(who)
  local found = {}
  for from = 1, #who, 1000 do
    local some = call('ZMSCORE', P .. 'served', unpack(who, from, math.min(#who, from + 999)))
    for i, score in ipairs(some) do found[from + i - 1] = tonumber(score or 0) end
  end
  return found
end

-- Those who wait for any of these: {user's turn, key's, arrival, call id, {names}}, in no order.
local function in_line(names)
  local found, via, who = {}, {}, {}
  for name in pairs(names) do
    for _, member in ipairs(call('SMEMBERS', P .. 'q:' .. name)) do
      local one = via[member]
      if not one then
        local user, key, arrival, id = string.match(member, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
        one = { 0, 0, tonumber(arrival), id, {} }
        via[member], found[#found + 1] = one, one
        who[#who + 1], who[#who + 2] = 'u' .. user, 'k' .. key
      end
      table.insert(one[5], name)
    end
  end
  for i, turn in ipairs(turns(who)) do
    found[math.ceil(i / 2)][2 - i % 2] = turn
  end
  return found
end

-- Move the one who is next to the front; sort the others only if that is not enough.
local function put_first(line)
  for i = 2, #line do
    if comes_before(line[i], line[1]) then line[1], line[i] = line[i], line[1] end
  end
end

local function hopeless(names)
  for _, name in ipairs(names) do
    if not found_full[name] then return false end
  end
  return true
end

-- Ask one in line; true if it was let in.
local function offer(id)
  local raw = call('HGET', WAITERS, id)
  if not raw then return false end
  if (tonumber(call('ZSCORE', P .. 'until', id)) or 0) < now then
    stop_waiting(id)
    return false
  end
  local waiter = unpack_(raw)
  local reply, full, after, waits = try(waiter[1], waiter[4], waiter[2] == 1)
  if not reply and waits then return false end
  stop_waiting(id)
  local said = reply or refused(waiter[4], full, after, 0, 0)
  call('PUBLISH', P .. 'bus:' .. waiter[1], pack({ id, said }))
  return reply ~= nil
end

local function wake(names)
  if not next(names) or call('HLEN', WAITERS) == 0 then return end
  found_full = {}
  local again
  repeat
    again = false
    local line = in_line(names)
    put_first(line)
    for i = 1, #line do
      if i == 2 then table.sort(line, comes_before) end
      if not hopeless(line[i][5]) and offer(line[i][4]) then
        again = true
        break
      end
    end
    for name in pairs(names) do
      if found_full[name] then names[name] = nil end
    end
  until not again or not next(names)
end

local function free_slots(slots, freed)
  for i = 1, #slots, 2 do
    count(SLOTS, slots[i], -1)
    freed[slots[i]] = true
  end
end

local function free_place(holding, freed, tokens)
  local place = holding[5]
  if place == 0 then return end
  free_slots(place[2], freed)
  if tokens >= 0 then settle(place[3], holding[9], tokens) end
  for _, window in ipairs(place[3]) do freed[window[1]] = true end
  holding[4], holding[5] = -1, 0
end

-- operations

local run = {}

-- e: {entry, arrival (0: asks for the first time), only first, last time}
function run.e(args)
  local entry, arrival, only_first, last = args[1], args[2], args[3] == 1, args[4] == 1
  local held = call('HGET', P .. 'h:' .. me, entry[1])
  if held then
    local holding = unpack_(held)
    local bound = bound_to(entry[8])
    return { 1, holding[4], usage(entry[5], 0), usage(entry[5], 1), bound }
  end
  local sticky, places = entry[8], entry[7]
  local bound = bound_to(sticky)
  if arrival == 0 and bound ~= 0 and bound ~= sticky[2] and not holds(sticky[3], bound) then
    return { 4, bound }
  end
  local budgets, timed = { entry[6] }, {}
  for _, place in ipairs(places) do
    budgets[#budgets + 1] = place[4]
    for _, window in ipairs(place[3]) do timed[window[1]] = true end
    if place[5] ~= 0 then
      for i = 1, #place[2], 2 do timed[place[2][i]] = true end
    end
  end
  local names = unfilled(budgets)
  if names then
    stop_waiting(entry[1])
    return { 3, names }
  end
  local kept = entry[12] > 0 and call('ZSCORE', P .. 'tickets', entry[12])
  kept = kept and tonumber(kept) > now
  if arrival == 0 then
    only_first = bound ~= 0 and #places > 0 and places[1][1] == bound
      and not holds(sticky[3], bound)
      and (tonumber(call('HGET', OF, 'b' .. bound)) or 0) < sticky[6]
  end
  wake(timed) -- time frees windows and sessions, and tells nobody: those who wait go first
  held = call('HGET', P .. 'h:' .. me, entry[1])
  if held then
    return { 1, unpack_(held)[4], usage(entry[5], 0), usage(entry[5], 1), bound_to(sticky) }
  end
  local reply, full, after, waits = try(me, entry, only_first and not last)
  if reply or not waits then
    stop_waiting(entry[1])
    return reply or refused(entry, full, after, 0, 0)
  end
  if arrival == 0 then
    local patience = only_first and sticky[5] or entry[10]
    local waiting = tonumber(call('HGET', OF, 'u' .. entry[2])) or 0
    if patience <= 0 or (not kept and waiting >= entry[11]) then
      return refused(entry, full, after, 1, entry[12])
    end
    call('ZREM', P .. 'tickets', entry[12])
    arrival = kept and entry[12] or call('INCR', P .. 'arrivals')
  elseif last then
    stop_waiting(entry[1])
    call('ZREMRANGEBYSCORE', P .. 'tickets', '-inf', now)
    call('ZADD', P .. 'tickets', now + TICKET, arrival)
    return refused(entry, full, after, 0, arrival)
  end
  wait(entry, only_first, arrival)
  return { 5, arrival, only_first and 1 or 0, after or -1 }
end

-- s: {call id, places, sticky}
function run.s(args)
  local budgets = {}
  for i, place in ipairs(args[2]) do budgets[i] = place[4] end
  local names = unfilled(budgets)
  if names then return { 3, names } end
  local key, freed = P .. 'h:' .. me, {}
  local raw = call('HGET', key, args[1])
  local holding = raw and unpack_(raw) or { {}, {}, {}, -1, 0, '', 0, sec, sec }
  free_place(holding, freed, 0)
  local index, full, after = choose(args[2], holding[6], false)
  local bound = 0
  if index then
    take_place(holding, args[2], index, holding[6])
    bound = bind(args[3], args[2][index][1])
  end
  call('HSET', key, args[1], pack(holding))
  call('ZADD', PROCS, 'NX', now + LEASE, me)
  wake(freed)
  if index then return { 1, index - 1, false, false, bound } end
  return { 2, full, after or -1, 0, 0, false, false }
end

-- l: {call id, tokens (-1: none), cost, list cost, only the caller's, undo}
function run.l(args)
  local key, freed, call_id = P .. 'h:' .. me, {}, args[1]
  if args[6] == 1 then stop_waiting(call_id) end
  local raw = call('HGET', key, call_id)
  if not raw then return { 0 } end
  local holding, tokens = unpack_(raw), args[2]
  free_slots(holding[1], freed)
  holding[1] = {}
  if args[5] == 1 then
    call('HSET', key, call_id, pack(holding))
    wake(freed)
    return { 1 }
  end
  call('HDEL', key, call_id)
  local place = holding[5]
  for _, budgets in ipairs({ holding[3], place ~= 0 and place[4] or {} }) do
    for _, budget in ipairs(budgets) do
      book(call_id, budget[1], budget[4] == 1 and args[4] or args[3], budget[3])
    end
  end
  if args[6] == 1 then
    for _, window in ipairs(holding[2]) do take_back(window, holding[8], window[3]) end
    if place ~= 0 then
      for _, window in ipairs(place[3]) do take_back(window, holding[9], window[3]) end
      if holding[7] == 1 and place[5] ~= 0 then
        call('ZREM', P .. 's:' .. place[5][1], holding[6])
      end
    end
    tokens = -1
  elseif place ~= 0 then
    see(place[5], holding[6])
  end
  if tokens >= 0 then settle(holding[2], holding[8], tokens) end
  free_place(holding, freed, tokens)
  wake(freed)
  return { 1 }
end

-- k: {call id, {name, amount, expires}...}: costs of a call whose holding is gone
function run.k(args)
  for i = 2, #args do book(args[1], args[i][1], args[i][2], args[i][3]) end
  return { 1 }
end

-- f: {{name, stored, expires, seen ids}...}
function run.f(args)
  for _, each in ipairs(args) do
    local key, kept = P .. 'b:' .. each[1], P .. 'f:' .. each[1]
    if call('EXISTS', key) == 0 then
      local seen, more, booked = {}, 0, call('HGETALL', kept)
      for _, id in ipairs(each[4]) do seen[id] = true end
      for i = 1, #booked, 2 do
        if not seen[booked[i]] then more = more + tonumber(booked[i + 1]) end
      end
      call('DEL', kept)
      call('SET', key, string.format('%.0f', each[2] + more))
      keep(key, each[3])
    end
  end
  return { 1 }
end

-- g: {budget's name}
function run.g(args) return call('HKEYS', P .. 'f:' .. args[1]) end

-- u: {binding, account}
function run.u(args)
  local key = P .. 'y:' .. args[1]
  if tonumber(call('GET', key)) == args[2] then call('DEL', key) end
  return { 1 }
end

-- p: {budget names}: the picture
function run.p(args)
  local spent = {}
  for i, name in ipairs(args) do
    spent[i] = tonumber(call('GET', P .. 'b:' .. name)) or -1
  end
  local slots = call('HGETALL', SLOTS)
  for i = 2, #slots, 2 do slots[i] = tonumber(slots[i]) end
  return { slots, spent }
end

-- r: {complete, {call id, slots, budgets, index, place or 0, session}...}: what this process holds
function run.r(args)
  local key = P .. 'h:' .. me
  for i = 2, #args do
    local each = args[i]
    if call('HEXISTS', key, each[1]) == 0 then
      local place = each[5]
      take_slots(each[2])
      if place ~= 0 then
        take_slots(place[2])
        place[3] = {}
        see(place[5], each[6])
      end
      local holding = { each[2], {}, each[3], each[4], place, each[6], 0, sec, sec }
      call('HSET', key, each[1], pack(holding))
    end
  end
  if args[1] == 1 then call('HSET', key, '', '1') end
  return { 1 }
end

local function bury(process, freed)
  local key = P .. 'h:' .. process
  local held = call('HGETALL', key)
  for i = 1, #held, 2 do
    if held[i] ~= '' then
      local holding = unpack_(held[i + 1])
      free_slots(holding[1], freed)
      free_place(holding, freed, -1)
    end
  end
  call('DEL', key)
  call('ZREM', PROCS, process)
end

-- b: {}: renew the lease, bury the dead; whether this process is registered
function run.b()
  local freed = {}
  call('ZADD', PROCS, now + LEASE, me)
  for _, process in ipairs(call('ZRANGEBYSCORE', PROCS, '-inf', now, 'LIMIT', 0, 8)) do
    bury(process, freed)
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'until', '-inf', now, 'LIMIT', 0, 1000)) do
    stop_waiting(id)
  end
  call('ZREMRANGEBYRANK', P .. 'served', 0, -131073)
  wake(freed)
  return { call('HEXISTS', P .. 'h:' .. me, '') }
end

-- c: {}: this process stops
function run.c()
  local freed = {}
  bury(me, freed)
  wake(freed)
  return { 1 }
end

return pack(run[ARGV[1]](unpack_(ARGV[3])))
